"""Compares measured with expected times: corrections for the next plan, and the remaining work.

A study's document has, by the class name of an estimator, the expected and measured seconds of
ended trials (``progress.estimators``, updated with each result), and the values of its last
publication (``estimates``)::

    {"correction": 1.3,          factor on the formula
     "planned_seconds": 5400.0,  expected seconds of the published trials
     "before": {...}}            ``progress.estimators`` of the class at that time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, TypeAlias

from warren.libraries.registry import LIBRARIES

Document: TypeAlias = Mapping[str, Any]

# Least ended trials of an estimator to compute a correction.
_ENOUGH = 5

# Class names of estimators with a cost formula fitted to measurements; the costs of others are
# guesses.
_KNOWN = frozenset(name.rpartition(".")[2] for library in LIBRARIES.values() for name in library.classes)

# Fields for corrections, and the number of newest studies to read: old studies may come from other
# machines.
MEASURED_FIELDS = ("progress.estimators", "estimates", "data.shape")
MEASURED_STUDIES = 20


def corrections(study: Document, others: Iterable[Document] = ()) -> dict[str, float]:
    """Return the ratio of measured to expected times, by class name.

    Parameters
    ----------
    study : dict
        Document of the study to plan.
    others : iterable of dict
        Documents of other studies, with `MEASURED_FIELDS`.

    Returns
    -------
    dict of str to float
        From the study itself, or else the median of the others; no entry if too few trials ended.
        If the cost is a guess, only studies with the same data shape count, because the growth of
        the cost with the data is unknown.
    """
    found: dict[str, list[float]] = {}
    for other in others:
        same_shape = _shape(other) is not None and _shape(other) == _shape(study)
        for name, correction in _corrections(other).items():
            if name in _KNOWN or same_shape:
                found.setdefault(name, []).append(correction)
    return {name: median(several) for name, several in found.items()} | _corrections(study)


def estimates(study: Document, planned: Mapping[str, float], used: Mapping[str, float]) -> dict[str, Any]:
    """Return the field ``estimates`` of a study's document for a publication.

    Parameters
    ----------
    study : dict
        Its document before the publication.
    planned : mapping of str to float
        Expected seconds of the published trials, by class name.
    used : mapping of str to float
        The corrections used for `planned`.
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
    """Return the expected seconds of a study's remaining work, or None without an estimate.

    Each estimator's part is corrected by its measured times, and the sum by the measured share of
    scoring.
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
    """Return the counts of a class since its estimate."""
    # Trials that were reset may make the counts smaller than before.
    return {field: max(counted[field] - estimate["before"][field], 0.0) for field in _NOTHING}


def _ratio(counted: Document) -> float | None:
    """Return measured divided by expected seconds; None with too few trials."""
    if counted["trials"] < _ENOUGH or counted["estimated_seconds"] <= 0 or counted["fit_seconds"] <= 0:
        return None
    return float(counted["fit_seconds"] / counted["estimated_seconds"])


def _corrections(study: Document) -> dict[str, float]:
    found, counted = {}, _counted(study)
    for name, estimate in (study.get("estimates") or {}).items():
        now = counted.get(name, _NOTHING)
        # Only trials that ended since then refine the correction in use, which includes the earlier
        # ones.
        ratio = _ratio(_since(estimate, now))
        if ratio is not None or now["trials"] >= _ENOUGH:
            found[name] = estimate["correction"] * (ratio or 1.0)
    return found
