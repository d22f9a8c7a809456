"""Fitted estimators, read from the formats that `worker.training.models` writes."""

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
        What the trial's document says of it.
    unfitted : estimator instance
        With the parameters that the model was trained with, as the user wrote them. A booster is loaded into it.
    allow : iterable of str, default=()
        Further estimator names.
    vouched : bool, default=False
        Whether a signature says where the file is from. Without one a file of CatBoost is tried first, which takes as
        long as starting Python with CatBoost does.

    Returns
    -------
    estimator instance
        Fitted, of the class of `unfitted`, with its parameters.

    Raises
    ------
    StudyError
        The file is not the one that the worker stored.
    InputError
        It holds a type that nobody vouches for, or its format is one of a later version.
    """
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise StudyError(f"model {model['file']!r} is damaged: its digest is another one than when it was stored")
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
    except Exception as exc:  # whatever a library raises that is given what is none of its own
        raise unreadable(exc) from exc


def _skops(content: bytes, unfitted: Any, allow: tuple[str, ...]) -> Any:
    import skops.io

    trusted = trusted_types(content, Own(unfitted).classes, allow)
    with warnings.catch_warnings():
        # One for every estimator in it, and `producer.models.training` has told which versions differ.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            fitted = skops.io.loads(content, trusted=trusted)
        except Exception as exc:  # whatever a class raises that is given what it does not expect
            raise unreadable(exc) from exc
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, and no {type(unfitted).__name__}")
    restore(fitted, unfitted)
    return fitted
