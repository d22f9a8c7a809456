"""What measured times say: corrections, and the work that is left."""

from __future__ import annotations

from typing import Any

import pytest

from producer.planning.calibration import corrections, estimates, work_left
from warren.storage.study_document import Data, StudyMeasures


def counted(trials: int, expected: float, took: float) -> dict[str, float]:
    return {"trials": trials, "estimated_seconds": expected, "fit_seconds": took}


def measures(**fields: Any) -> StudyMeasures:
    return StudyMeasures.read({"_id": "study", **fields})


def study(
    name: str = "XGBClassifier",
    now: dict[str, float] | None = None,
    before: dict[str, float] | None = None,
    planned: float = 100.0,
    correction: float = 1.0,
    scored: float = 0.0,
) -> StudyMeasures:
    found = now or counted(0, 0.0, 0.0)
    return measures(
        progress={
            "fit_seconds": found["fit_seconds"],
            "score_seconds": scored,
            "estimators": {name: found} if now else {},
        },
        estimates={
            name: {"correction": correction, "planned_seconds": planned, "before": before or counted(0, 0.0, 0.0)}
        },
    )


# ------------------------------------------------------------------------- corrections


def test_a_new_database_corrects_nothing() -> None:
    assert corrections(measures()) == {}


def test_a_study_s_own_times_correct_what_it_used() -> None:
    assert corrections(study(now=counted(10, 5.0, 10.0))) == {"XGBClassifier": 2.0}
    assert corrections(study(now=counted(10, 5.0, 10.0), correction=3.0)) == {"XGBClassifier": 6.0}


def test_a_few_trials_say_nothing() -> None:
    assert corrections(study(now=counted(4, 5.0, 10.0))) == {}
    assert corrections(study(now=counted(9, 0.0, 0.0))) == {"XGBClassifier": 1.0}, "measured, and of no length"


def test_publishing_again_does_not_correct_twice() -> None:
    """Of what ended under an earlier correction, that was made; only what ended since says what is
    still wrong."""
    first = study(now=counted(10, 5.0, 10.0))
    used = corrections(first)
    estimated = estimates(first, {"XGBClassifier": 50.0}, used)
    again = measures(progress=first.progress.model_dump(), estimates=estimated)
    assert estimated["XGBClassifier"] == {
        "correction": 2.0,
        "planned_seconds": 50.0,
        "before": counted(10, 5.0, 10.0),
    }
    assert corrections(again) == used
    later = {"estimators": {"XGBClassifier": counted(20, 5.0 + 8.0, 10.0 + 4.0)}}
    assert corrections(measures(progress=later, estimates=estimated)) == {"XGBClassifier": 1.0}


def test_other_studies_count_by_their_median_until_the_study_counts() -> None:
    others = [study(now=counted(10, 1.0, took)) for took in (1.0, 2.0, 50.0)]
    others.append(study("LGBMClassifier", now=counted(10, 2.0, 1.0)))
    others.append(measures(progress={"estimators": {}}))  # older than estimates
    others.append(measures())
    assert corrections(measures(), others) == {"XGBClassifier": 2.0, "LGBMClassifier": 0.5}
    own = study(now=counted(10, 1.0, 7.0))
    assert corrections(own, others) == {"XGBClassifier": 7.0, "LGBMClassifier": 0.5}


def data(*shape: int) -> Data:
    return Data(X="ndarray", shape=[*shape], n_samples=shape[0], bytes=0)


def test_a_guess_is_corrected_by_studies_on_data_of_the_same_shape_only() -> None:
    others = [study("SVC", now=counted(10, 1.0, 4.0)).model_copy(update={"data": data(100, 4)})]
    for own, expected in ((data(100, 4), {"SVC": 4.0}), (data(100_000, 4), {}), (None, {})):
        assert corrections(measures(data=own), others) == expected
    assert corrections(measures(), [study("SVC", now=counted(10, 1.0, 4.0))]) == {}


def test_an_estimator_whose_trials_have_all_ended_keeps_its_correction() -> None:
    ended = study(now=counted(10, 5.0, 10.0))
    kept = estimates(ended, {}, corrections(ended))
    assert kept["XGBClassifier"]["correction"] == 2.0
    assert kept["XGBClassifier"]["planned_seconds"] == 0.0


# ------------------------------------------------------------------------- work left


def test_work_is_left_as_planned_until_enough_trials_were_measured() -> None:
    assert work_left(study(planned=100.0)) == 100.0
    assert work_left(study(planned=100.0, now=counted(4, 20.0, 80.0))) == 80.0
    assert work_left(study(planned=100.0, now=counted(5, 20.0, 80.0))) == 320.0


def test_scoring_is_work_too() -> None:
    assert work_left(study(planned=100.0, now=counted(10, 20.0, 40.0), scored=10.0)) == pytest.approx(160 * 1.25)


def test_only_trials_ended_since_publication_leave_its_plan() -> None:
    before = counted(10, 60.0, 90.0)
    assert work_left(study(planned=100.0, before=before, now=before)) == 100.0
    assert work_left(study(planned=100.0, before=before, now=counted(20, 80.0, 100.0))) == 40.0


def test_estimators_are_corrected_apart() -> None:
    both = study(planned=100.0, now=counted(10, 50.0, 100.0))
    other = study("LGBMClassifier", planned=30.0)
    both = both.model_copy(update={"estimates": {**(both.estimates or {}), **(other.estimates or {})}})
    assert work_left(both) == 100.0 + 30.0


def test_more_than_was_planned_leaves_nothing() -> None:
    assert work_left(study(planned=10.0, now=counted(10, 50.0, 100.0))) == 0.0
    taken_back = study(planned=10.0, before=counted(10, 50.0, 100.0), now=counted(2, 5.0, 10.0))
    assert work_left(taken_back) == 10.0


def test_without_estimates_nothing_is_said() -> None:
    assert work_left(measures(progress={"fit_seconds": 0.0, "score_seconds": 0.0})) is None
