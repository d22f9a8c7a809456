"""What measured times say of the expected ones: corrections for the next plan, and the work that is left.

A study's document keeps, by the class name of an estimator, what its trials were expected to take and took
(``progress.estimators``, counted as results come), and what its last publication planned (``estimates``)::

    {"correction": 1.3,          what the formula was multiplied by
     "planned_seconds": 5400.0,  expected of the trials that were published
     "before": {...}}            ``progress.estimators`` of the class as it was then
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, TypeAlias

from warren.libraries.registry import LIBRARIES

Document: TypeAlias = Mapping[str, Any]

# Trials that speak for the others of their estimator.
_ENOUGH = 5

# Class names of estimators whose cost is a formula fitted to measurements; that of others is a guess.
_KNOWN = frozenset(name.rpartition(".")[2] for library in LIBRARIES.values() for name in library.classes)

# What corrections are read from, and of how many studies, newest first: a database of years says little of today.
MEASURED_FIELDS = ("progress.estimators", "estimates", "data.shape")
MEASURED_STUDIES = 20


def corrections(study: Document, others: Iterable[Document] = ()) -> dict[str, float]:
    """Return what measured times are of the formula's, by class name.

    Parameters
    ----------
    study : dict
        Document of the study to plan.
    others : iterable of dict
        Documents of other studies, with `MEASURED_FIELDS`.

    Returns
    -------
    dict of str to float
        From the study itself, or else the median of the others; no entry where too few trials ended. Where the cost
        is a guess, only studies on data of the same shape count: nobody knows how such a fit grows with its data.
    """
    found: dict[str, list[float]] = {}
    for other in others:
        same_shape = _shape(other) is not None and _shape(other) == _shape(study)
        for name, correction in _corrections(other).items():
            if name in _KNOWN or same_shape:
                found.setdefault(name, []).append(correction)
    return {name: median(several) for name, several in found.items()} | _corrections(study)


def estimates(study: Document, planned: Mapping[str, float], used: Mapping[str, float]) -> dict[str, Any]:
    """Return what a study's document keeps of a publication.

    Parameters
    ----------
    study : dict
        Its document as it was before the publication.
    planned : mapping of str to float
        Expected seconds of what was published, by class name.
    used : mapping of str to float
        The corrections that they were planned with.
    """
    counted = _counted(study)
    return {
        name: {
            "correction": used.get(name, 1.0),
            "planned_seconds": planned.get(name, 0.0),
            "before": counted.get(name, _NOTHING),
        }
        for name in {*planned, *counted}
    }


def work_left(study: Document) -> float | None:
    """Return the seconds that workers have still to spend on a study, or None where nothing was estimated.

    Each estimator's part is corrected by its measured times, and all by what scoring takes beside fitting.
    """
    planned = study.get("estimates")
    if not planned:
        return None
    counted, progress = _counted(study), study["progress"]
    fits = 0.0
    for name, estimate in planned.items():
        since = _since(estimate, counted.get(name, _NOTHING))
        fits += max(estimate["planned_seconds"] - since["estimated_seconds"], 0.0) * (_ratio(since) or 1.0)
    fitted, scored = progress["fit_seconds"], progress["score_seconds"]
    return fits * (1 + scored / fitted) if fitted > 0 else fits


_NOTHING: dict[str, float] = {"trials": 0, "estimated_seconds": 0.0, "fit_seconds": 0.0}


def _shape(study: Document) -> Any:
    return study.get("data", {}).get("shape")


def _counted(study: Document) -> Mapping[str, Any]:
    found: Mapping[str, Any] = study.get("progress", {}).get("estimators", {})
    return found


def _since(estimate: Document, counted: Document) -> dict[str, float]:
    """Return what was counted of a class since its estimate."""
    # Trials that were taken back may leave less than there was.
    return {field: max(counted[field] - estimate["before"][field], 0.0) for field in _NOTHING}


def _ratio(counted: Document) -> float | None:
    """Return measured by expected seconds, where enough trials say so."""
    if counted["trials"] < _ENOUGH or counted["estimated_seconds"] <= 0 or counted["fit_seconds"] <= 0:
        return None
    return float(counted["fit_seconds"] / counted["estimated_seconds"])


def _corrections(study: Document) -> dict[str, float]:
    found, counted = {}, _counted(study)
    for name, estimate in (study.get("estimates") or {}).items():
        now = counted.get(name, _NOTHING)
        # Only what ended since says what the correction in use lacks; it holds what was measured before.
        ratio = _ratio(_since(estimate, now))
        if ratio is not None or now["trials"] >= _ENOUGH:
            found[name] = estimate["correction"] * (ratio or 1.0)
    return found
