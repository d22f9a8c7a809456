"""The running count of a study: what a result adds to it, and the count from scratch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warren.versions import seen_in

# Sums of seconds of a study's trials: for fits, for scoring, and saved by shared fits.
_SECONDS = ("fit_seconds", "score_seconds", "saved_seconds")
STATES = ("COMPLETE", "FAILED")


def no_counts() -> dict[str, Any]:
    """Return the count of a study without a result."""
    return {"complete": 0, "failed": 0, "dead": 0, **dict.fromkeys(_SECONDS, 0.0), "estimators": {}, "versions": {}}


def increments(documents: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what new results add to their study's count.

    Parameters
    ----------
    documents : sequence of dict
        Trial documents of one study.

    Returns
    -------
    dict of str to float
        By field of ``progress``, with dots for sub-documents. Also by estimator, because the
        planner's estimates are corrected by the real times.
    """
    found: dict[str, float] = defaultdict(int)
    for state in STATES:
        found[state.lower()] = sum(document["state"] == state for document in documents)
    for document in documents:
        for seconds in _SECONDS:
            found[seconds] += document[seconds]
        own = f"estimators.{document['estimator']}"
        found[f"{own}.trials"] += 1
        found[f"{own}.estimated_seconds"] += document["estimated_seconds"]
        found[f"{own}.fit_seconds"] += document["fit_seconds"]
    return dict(found)


def best_of(documents: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """Return the best score of some results in the form of the count, or None if there is none.

    MongoDB compares such documents field by field: the score first, then the lower number.
    """
    scored = [
        (document["mean_test_score"], -document["number"])
        for document in documents
        if not document.get("failed_fits") and not math.isnan(document["mean_test_score"])
    ]
    return dict(zip(("score", "minus_number"), max(scored), strict=True)) if scored else None


# A trial's document must match this for the next stage and for `totals`.
COUNTED: dict[str, Any] = {
    "state": {"$in": [*STATES]},
    "estimator": {"$type": "string"},
    "mean_test_score": {"$type": "number"},
}
# A stage of an aggregation over a study's trials; `totals` reads its result.
GROUP: dict[str, Any] = {
    "_id": {"state": "$state", "estimator": "$estimator"},
    "count": {"$sum": 1},
    "estimated_seconds": {"$sum": "$estimated_seconds"},
    **{seconds: {"$sum": f"${seconds}"} for seconds in _SECONDS},
    "versions": {"$addToSet": "$versions"},
    "best": {"$max": {"score": "$mean_test_score", "minus_number": {"$multiply": [-1, "$number"]}}},
}


def totals(groups: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, float] | None]:
    """Return the count of a study, as far as `GROUP` can tell, and its best score."""
    found: dict[str, Any] = dict.fromkeys((state.lower() for state in STATES), 0)
    found |= dict.fromkeys(_SECONDS, 0.0)
    estimators: dict[str, dict[str, float]] = {}
    best = []
    for group in groups:
        found[group["_id"]["state"].lower()] += int(group["count"])
        for seconds in _SECONDS:
            found[seconds] += float(group[seconds])
        own = estimators.setdefault(
            group["_id"]["estimator"], {"trials": 0, "estimated_seconds": 0.0, "fit_seconds": 0.0}
        )
        own["trials"] += int(group["count"])
        own["estimated_seconds"] += float(group["estimated_seconds"])
        own["fit_seconds"] += float(group["fit_seconds"])
        if group["_id"]["state"] == "COMPLETE" and not math.isnan(group["best"]["score"]):
            best.append((group["best"]["score"], group["best"]["minus_number"]))
    found["estimators"] = estimators
    found["versions"] = seen_in({"versions": versions} for group in groups for versions in group.get("versions", ()))
    return found, dict(zip(("score", "minus_number"), max(best), strict=True)) if best else None
