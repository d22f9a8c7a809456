"""Loads fitted estimators from the formats that `worker.training.models` writes."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from producer.models.formats.registry import FORMATS
from producer.models.model_shape import Own
from producer.models.refusals import unreadable
from producer.models.restoring import restore
from producer.models.trusted_types import trusted_types
from warren.errors import InputError, StudyError, WarrenError
from warren.storage.documents import Document


def load(content: bytes, model: Document, unfitted: Any, allow: Iterable[str] = (), *, vouched: bool = False) -> Any:
    """Return the model that `worker.training.models.pack` packed.

    Parameters
    ----------
    content : bytes
        The stored file.
    model : dict
        The field ``model`` of the trial's document.
    unfitted : estimator instance
        Has the parameters that the model was trained with, as the user wrote them. A booster is
        loaded into it.
    allow : iterable of str, default=()
        Further allowed estimator names.
    vouched : bool, default=False
        Whether a signature proves the file's origin. Otherwise a CatBoost file is first tried in
        another process, which must start Python and CatBoost.

    Returns
    -------
    estimator instance
        Fitted, with the class and the parameters of `unfitted`.

    Raises
    ------
    StudyError
        The file is not the one that the worker stored.
    InputError
        The file holds a type that is not trusted, or has a format of a later version.
    """
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise StudyError(f"model {model['file']!r} is damaged: its digest differs from the stored one")
    readers: dict[str, Callable[[], Any]] = {
        one.name: functools.partial(one.read, content, model["facts"], unfitted, vouched) for one in FORMATS.values()
    }
    readers["skops"] = functools.partial(_skops, content, unfitted, tuple(allow))
    if model["format"] not in readers:
        raise InputError(f"model {model['file']!r} has format {model['format']!r}: this version reads {[*readers]}")
    try:
        return readers[model["format"]]()
    except WarrenError:
        raise
    except Exception as exc:  # libraries raise any error for a malformed file
        raise unreadable(exc) from exc


def _skops(content: bytes, unfitted: Any, allow: tuple[str, ...]) -> Any:
    import skops.io

    trusted = trusted_types(content, Own(unfitted).classes, allow)
    with warnings.catch_warnings():
        # One warning for each estimator; `producer.models.training` has already warned about
        # versions.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            fitted = skops.io.loads(content, trusted=trusted)
        except Exception as exc:  # classes raise any error for unexpected content
            raise unreadable(exc) from exc
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, not a {type(unfitted).__name__}")
    restore(fitted, unfitted)
    return fitted
