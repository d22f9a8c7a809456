"""What Warren knows of the format of a boosting library's models: each library's file fills it in."""

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
        As a trial's document has it.
    file : str
        The file in an export.
    line : str
        Python that loads it there, with ``{cls}`` for the class.
    read : callable
        Loads the content of a file into an unfitted estimator, and returns that. It is given the
        content, what the trial's document says of the model (``facts``), the estimator, and whether
        a signature says where the file is from.
    booster : tuple of (str, str, str)
        Attribute in which an estimator keeps its booster, and module and name of the booster's
        class.
    handle : str
        The class of the node that holds a booster in an archive of skops; empty where no booster
        lies there as an object.
    is_sound : callable
        Says of what such a node holds whether the booster stays within its trees.
    set_back : callable
        Gives an estimator from an archive the settings that the user's has, in place of the
        worker's. It is given both.
    chosen : tuple of str
        Parameters that ``fit`` sets.
    parts : mapping of str to tuple of str
        Estimators that one of a class makes for itself, by the name of the class.
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
