"""The running count of a study, from new results and from all of them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from warren.storage.progress_counts import GROUP, best_of, increments, no_counts, totals


def document(number: int, score: float = 0.5, state: str = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {
        "number": number,
        "state": state,
        "estimator": "Ridge",
        "mean_test_score": score,
        "fit_seconds": 0.5,
        "score_seconds": 0.25,
        "saved_seconds": 1.5,
        "estimated_seconds": 2.0,
        **fields,
    }


def some(numbers: int) -> list[dict[str, Any]]:
    """Make results of three estimators, one of them with failures only; halves, so that
    sums are exact."""
    draw = random.Random(numbers)
    documents = []
    for number in range(numbers):
        estimator = draw.choice(["Ridge", "XGBClassifier", "Fails"])
        failed = estimator == "Fails" or draw.random() < 0.2
        seconds = ("fit_seconds", "score_seconds", "saved_seconds", "estimated_seconds")
        documents.append(
            document(
                number,
                draw.choice([math.nan, -1.0, 0.0, 0.5, 0.75]),
                "FAILED" if failed else "COMPLETE",
                estimator=estimator,
                **{name: draw.randrange(100) / 2 for name in seconds},
                **({"failed_fits": 1} if failed else {}),
            )
        )
    return documents


def grouped(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do to documents what MongoDB does to them in `GROUP`; NaN is its least number."""
    by_id: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in documents:
        by_id.setdefault((one["state"], one["estimator"]), []).append(one)
    groups = []
    for (state, estimator), mine in by_id.items():
        group: dict[str, Any] = {"_id": {"state": state, "estimator": estimator}}
        for name, how in GROUP.items():
            match how:
                case {"$sum": 1}:
                    group[name] = len(mine)
                case {"$sum": str(field)}:
                    group[name] = sum(one[field.removeprefix("$")] for one in mine)
        scores = [(one["mean_test_score"], -one["number"]) for one in mine]
        best = max(scores, key=lambda pair: (-math.inf if math.isnan(pair[0]) else pair[0], pair[1]))
        group["best"] = dict(zip(("score", "minus_number"), best, strict=True))
        groups.append(group)
    return groups


def added(count: dict[str, Any], update: dict[str, float]) -> dict[str, Any]:
    """Add an update to a count, as MongoDB's ``$inc`` does."""
    for name, value in update.items():
        *path, last = name.split(".")
        place = count
        for step in path:
            place = place.setdefault(step, {})
        place[last] = place.get(last, 0) + value
    return count


def test_a_study_without_a_result_counts_nought() -> None:
    assert no_counts() == {
        "complete": 0,
        "failed": 0,
        "dead": 0,
        "fit_seconds": 0.0,
        "score_seconds": 0.0,
        "saved_seconds": 0.0,
        "estimators": {},
        "versions": {},
    }
    no_counts()["estimators"]["Ridge"] = {}
    assert no_counts()["estimators"] == {}


def test_a_result_adds_to_its_state_its_study_and_its_estimator() -> None:
    assert increments([document(3)]) == {
        "complete": 1,
        "failed": 0,
        "fit_seconds": 0.5,
        "score_seconds": 0.25,
        "saved_seconds": 1.5,
        "estimators.Ridge.trials": 1,
        "estimators.Ridge.estimated_seconds": 2.0,
        "estimators.Ridge.fit_seconds": 0.5,
    }


def test_results_of_many_states_and_estimators_are_added_up() -> None:
    found = increments([document(0), document(1, estimator="SVC"), document(2, math.nan, "FAILED")])
    assert (found["complete"], found["failed"], found["saved_seconds"]) == (2, 1, 4.5)
    assert (found["estimators.Ridge.trials"], found["estimators.SVC.trials"]) == (2, 1)
    assert (found["estimators.Ridge.estimated_seconds"], found["estimators.SVC.fit_seconds"]) == (4.0, 0.5)


def test_no_results_add_nothing() -> None:
    assert set(increments([]).values()) == {0}
    assert added(no_counts(), increments([])) == no_counts()


def test_a_result_adds_numbers_only() -> None:
    """An increment that is no number would be refused with all others of its update."""
    assert {type(value) for value in increments(some(50)).values()} <= {int, float}


@pytest.mark.parametrize("size", [0, 1, 2, 50, 300])
def test_increments_summed_up_are_the_totals(size: int) -> None:
    documents = some(size)
    count, start, draw = no_counts(), 0, random.Random(size)
    while start < size:
        end = start + draw.randint(1, 9)
        added(count, increments(documents[start:end]))
        start = end
    found, best = totals(grouped(documents))
    assert no_counts() | found == count
    assert best == best_of(documents)


def test_totals_of_nothing_are_nought() -> None:
    found, best = totals([])
    assert no_counts() | found == no_counts()
    assert found.keys() == no_counts().keys() - {"dead"}  # no trial document tells of a dead letter
    assert best is None


def test_totals_are_python_s_numbers_whatever_a_server_returns() -> None:
    class Int64(int):
        """What pymongo returns for large counts."""

    group = grouped([document(0)])[0] | {"count": Int64(1), "fit_seconds": Int64(2)}
    found, _ = totals([group])
    own = found["estimators"]["Ridge"]
    assert [type(value) for value in (found["complete"], own["trials"], found["fit_seconds"])] == [int, int, float]


@pytest.mark.parametrize(
    ("documents", "best"),
    [
        ([], None),
        ([document(4, 0.5), document(2, 0.75), document(7, 0.75)], (0.75, -2)),
        ([document(0, math.nan), document(1, -5.0)], (-5.0, -1)),
        ([document(0, math.nan)], None),
        ([document(0, 9.0, "FAILED", failed_fits=1), document(1, 0.5)], (0.5, -1)),
        ([document(0, 9.0, "FAILED", failed_fits=2)], None),
        ([document(0, -math.inf), document(1, math.nan)], (-math.inf, 0)),
    ],
)
def test_the_best_is_the_highest_score_and_then_the_lowest_number(
    documents: list[dict[str, Any]], best: tuple[float, int] | None
) -> None:
    expected = None if best is None else {"score": best[0], "minus_number": best[1]}
    assert best_of(documents) == expected
    assert totals(grouped(documents))[1] == expected
