"""The format of a boosting library's models; each library's file fills in the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from warren.storage.documents import Document


@dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """How models of a library are stored and read. `worker.fitting` writes them.

    Attributes
    ----------
    name : str
        As in a trial's document.
    file : str
        The file in an export.
    line : str
        Python code that loads it there, with ``{cls}`` for the class.
    read : callable
        Loads the content of a file into an unfitted estimator, and returns that. Its arguments are
        the content, the trial document's fields of the model (``facts``), the estimator, and
        whether a signature proves the file's origin.
    booster : tuple of (str, str, str)
        The attribute of an estimator with its booster, and module and name of the booster's class.
    handle : str
        The class of the node that holds a booster in a skops archive; empty if no booster is stored
        there as an object.
    is_sound : callable
        Returns whether the booster in such a node stays within its trees.
    set_back : callable
        Replaces the worker's settings in an estimator from an archive by those of the user's
        estimator. Its arguments are both.
    chosen : tuple of str
        Parameters that ``fit`` sets.
    parts : mapping of str to tuple of str
        By class name: the estimators that an estimator of this class creates.
    """

    name: str
    file: str
    line: str
    read: Callable[[bytes, Document, Any, bool], Any]
    booster: tuple[str, str, str]
    handle: Literal["", "BytearrayNode", "JsonNode"] = ""
    is_sound: Callable[[Any], bool] = lambda _: False
    set_back: Callable[[Any, Any], None]
    chosen: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
