"""What skops has read, made what ``fit`` would leave here: rings tied, boosters complete, the user's own settings."""

from __future__ import annotations

from typing import Any

from producer.models.formats.registry import FORMATS
from producer.models.index_bounds import check_numbers
from producer.models.model_shape import check_shape, held, package_of
from warren.errors import StudyError
from warren.libraries.registry import THREADS
from warren.safety.allowlist import look_up

# Where `worker.training.model_archive` has written objects that refer to each other, and what these may be.
_LINKED = "_linked"
_LINKED_CLASSES = {
    "_CFNode": "sklearn.cluster._birch._CFNode",
    "_CFSubcluster": "sklearn.cluster._birch._CFSubcluster",
    "_BisectingTree": "sklearn.cluster._bisect_k_means._BisectingTree",
}


def restore(fitted: Any, unfitted: Any) -> None:
    """Complete what skops has read, in place, once it is known for what the study's estimator becomes.

    Parameters
    ----------
    fitted : estimator instance
        As it came from an archive.
    unfitted : estimator instance
        With the parameters that the user wrote.

    Raises
    ------
    StudyError
        It is not made as a worker makes it.
    """
    for _, _, part in held(fitted):
        if _LINKED in getattr(part, "__dict__", ()):
            _tie(part)
    try:
        pairs = check_shape(fitted, unfitted)
        check_numbers(fitted)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        raise StudyError(f"the stored {type(fitted).__name__} holds what no fit leaves there: {exc!r}") from exc
    for ours, users in pairs:
        # By attributes: set_params may do more.
        wanted = users.get_params(deep=False)
        for name in THREADS & wanted.keys() & vars(ours).keys():
            setattr(ours, name, wanted[name])
        if stored_as := FORMATS.get(package_of(ours)):
            stored_as.set_back(ours, users)


def _tie(holder: Any) -> None:
    """Put objects together that refer to each other; `worker.training.model_archive` has written them as rows."""
    try:
        written = vars(holder).pop(_LINKED)
        rows = written["rows"]
        made = [_blank(row["class"]) for row in rows]
        for one, row in zip(made, rows, strict=True):
            vars(one).update(row["values"])
            for name, link in row["links"].items():
                vars(one)[name] = [made[number] for number in link] if isinstance(link, list) else made[link]
            if "centroids_" in row["values"]:  # a node writes through these
                taken = len(one.subclusters_)
                one.centroids_, one.squared_norm_ = one.init_centroids_[:taken], one.init_sq_norm_[:taken]
        vars(holder).update({name: made[number] for name, number in written["roots"].items()})
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
        raise StudyError(f"the stored {type(holder).__name__} can't be put together: {exc!r}") from exc


def _blank(name: str) -> Any:
    cls = look_up(_LINKED_CLASSES[name])
    return cls.__new__(cls)
