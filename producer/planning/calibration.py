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
from typing import Any

from warren.libraries.registry import LIBRARIES
from warren.storage.study_document import Estimate, Measured, StudyMeasures

# Least ended trials of an estimator to compute a correction.
_ENOUGH = 5

# Class names of estimators with a cost formula fitted to measurements; the costs of others are
# guesses.
_KNOWN = frozenset(name.rpartition(".")[2] for library in LIBRARIES.values() for name in library.classes)

# Studies that corrections are read from, newest first: a database of years says little of today.
MEASURED_STUDIES = 20


def corrections(study: StudyMeasures, others: Iterable[StudyMeasures] = ()) -> dict[str, float]:
    """Return what measured times are of the formula's, by class name.

    Parameters
    ----------
    study : StudyMeasures
        The study to plan.
    others : iterable of StudyMeasures

    Returns
    -------
    dict of str to float
        From the study itself, or else the median of the others; no entry if too few trials ended.
        If the cost is a guess, only studies with the same data shape count, because the growth of
        the cost with the data is unknown.
    """
    found: dict[str, list[float]] = {}
    for other in others:
        same_shape = other.data and study.data and other.data.shape == study.data.shape
        for name, correction in _corrections(other).items():
            if name in _KNOWN or same_shape:
                found.setdefault(name, []).append(correction)
    return {name: median(several) for name, several in found.items()} | _corrections(study)


def estimates(study: StudyMeasures, planned: Mapping[str, float], used: Mapping[str, float]) -> dict[str, Any]:
    """Return what a study's document keeps of a publication.

    Parameters
    ----------
    study : StudyMeasures
        As it was before the publication.
    planned : mapping of str to float
        Expected seconds of the published trials, by class name.
    used : mapping of str to float
        The corrections used for `planned`.
    """
    counted = study.progress.estimators
    return {
        name: {
            "correction": used.get(name, 1.0),
            "planned_seconds": planned.get(name, 0.0),
            "before": counted.get(name, _NOTHING).model_dump(),
        }
        for name in {*planned, *counted}
    }


def work_left(study: StudyMeasures) -> float | None:
    """Return the expected seconds of remaining work, or None without estimates.

    Each estimator's part is corrected by its measured times, and the sum by the measured share of
    scoring.
    """
    if not study.estimates:
        return None
    fits = 0.0
    for name, estimate in study.estimates.items():
        since = _since(estimate, study.progress.estimators.get(name, _NOTHING))
        fits += max(estimate.planned_seconds - since.estimated_seconds, 0.0) * (_ratio(since) or 1.0)
    fitted, scored = study.progress.fit_seconds, study.progress.score_seconds
    return fits * (1 + scored / fitted) if fitted > 0 else fits


_NOTHING = Measured(trials=0, estimated_seconds=0.0, fit_seconds=0.0)


def _since(estimate: Estimate, counted: Measured) -> Measured:
    """Return the counts of a class since its estimate."""
    before = estimate.before
    # After a reset of failed trials, there may be fewer than before.
    return Measured(
        trials=max(counted.trials - before.trials, 0),
        estimated_seconds=max(counted.estimated_seconds - before.estimated_seconds, 0.0),
        fit_seconds=max(counted.fit_seconds - before.fit_seconds, 0.0),
    )


def _ratio(counted: Measured) -> float | None:
    """Return measured divided by expected seconds; None if too few trials ended."""
    if counted.trials < _ENOUGH or counted.estimated_seconds <= 0 or counted.fit_seconds <= 0:
        return None
    return counted.fit_seconds / counted.estimated_seconds


def _corrections(study: StudyMeasures) -> dict[str, float]:
    found = {}
    for name, estimate in (study.estimates or {}).items():
        now = study.progress.estimators.get(name, _NOTHING)
        # Only trials that ended since then show the error of the current correction, which
        # contains earlier measurements.
        ratio = _ratio(_since(estimate, now))
        if ratio is not None or now.trials >= _ENOUGH:
            found[name] = estimate.correction * (ratio or 1.0)
    return found
