"""Completes a model that skops has read: linked objects, boosters and the user's settings."""

from __future__ import annotations

from typing import Any

from producer.models.formats.registry import FORMATS
from producer.models.index_bounds import check_numbers
from producer.models.model_shape import check_shape, held, package_of
from warren.errors import StudyError
from warren.libraries.registry import THREADS
from warren.safety.allowlist import look_up

# The attribute in which `worker.training.model_archive` stores objects with cyclic references, and
# their classes.
_LINKED = "_linked"
_LINKED_CLASSES = {
    "_CFNode": "sklearn.cluster._birch._CFNode",
    "_CFSubcluster": "sklearn.cluster._birch._CFSubcluster",
    "_BisectingTree": "sklearn.cluster._bisect_k_means._BisectingTree",
}


def restore(fitted: Any, unfitted: Any) -> None:
    """Check that a model matches the study's estimator, and complete it in place.

    Parameters
    ----------
    fitted : estimator instance
        As read from an archive.
    unfitted : estimator instance
        Has the parameters that the user wrote.

    Raises
    ------
    StudyError
        No fit of `unfitted` gives this model.
    """
    for _, _, part in held(fitted):
        if _LINKED in getattr(part, "__dict__", ()):
            _tie(part)
    try:
        pairs = check_shape(fitted, unfitted)
        check_numbers(fitted)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        raise StudyError(f"the stored {type(fitted).__name__} holds values that no fit produces: {exc!r}") from exc
    for ours, users in pairs:
        # By attributes: set_params may do more.
        wanted = users.get_params(deep=False)
        for name in THREADS & wanted.keys() & vars(ours).keys():
            setattr(ours, name, wanted[name])
        if stored_as := FORMATS.get(package_of(ours)):
            stored_as.set_back(ours, users)


def _tie(holder: Any) -> None:
    """Rebuild objects with cyclic references from the rows of `worker.training.model_archive`."""
    try:
        written = vars(holder).pop(_LINKED)
        rows = written["rows"]
        made = [_blank(row["class"]) for row in rows]
        for rebuilt, row in zip(made, rows, strict=True):
            vars(rebuilt).update(row["values"])
            for name, link in row["links"].items():
                vars(rebuilt)[name] = [made[number] for number in link] if isinstance(link, list) else made[link]
            if "centroids_" in row["values"]:  # they are views of the arrays that a node writes to
                taken = len(rebuilt.subclusters_)
                rebuilt.centroids_, rebuilt.squared_norm_ = (
                    rebuilt.init_centroids_[:taken],
                    rebuilt.init_sq_norm_[:taken],
                )
        vars(holder).update({name: made[number] for name, number in written["roots"].items()})
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
        raise StudyError(f"the stored {type(holder).__name__} can't be rebuilt: {exc!r}") from exc


def _blank(name: str) -> Any:
    cls = look_up(_LINKED_CLASSES[name])
    return cls.__new__(cls)
