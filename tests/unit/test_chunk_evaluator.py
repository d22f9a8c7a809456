"""A chunk becomes trial documents: which trials share a fit, and the same scores as alone."""

from __future__ import annotations

from typing import Any

import pytest
from catboost import CatBoostClassifier
from evaluating import SMALL, SPLITS, Worker, X, Y, rounds, same_outcome, shared_by
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

from warren.encoding.codec import encode_estimator
from warren.messages import Trial, encode_chunk

# ------------------------------------------------------------------------------ groups


def test_trials_that_differ_in_their_rounds_share_a_fit_a_fold(worker: Worker, fits: list[int]) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 12, 7))
    assert fits == [12, 12, 12]
    assert shared_by(documents) == [3, 3, 3]
    assert [one["state"] for one in documents] == ["COMPLETE"] * 3


def test_only_neighbours_share(worker: Worker, fits: list[int]) -> None:
    trials = [*rounds(4, 9), *rounds(6, max_depth=3), *rounds(8, 3, 2), {"max_depth": 3, "n_estimators": 5}]
    documents = worker.evaluate(SMALL, *trials)
    assert shared_by(documents) == [2, 2, 1, 3, 3, 3, 1]
    assert fits == [9] * 3 + [6] * 3 + [8] * 3 + [5] * 3


def test_a_study_that_shares_no_fits_fits_each_alone(worker: Worker, fits: list[int]) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 12, 7), share_fits=False)
    assert fits == [4] * 3 + [12] * 3 + [7] * 3
    assert shared_by(documents) == [1, 1, 1]


def test_trials_that_must_not_share_are_fitted_alone(worker: Worker, fits: list[int]) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 6, booster="dart"), *rounds(5, 8, num_parallel_tree=2))
    assert shared_by(documents) == [1, 1, 1, 1]
    assert fits == [4] * 3 + [6] * 3 + [5] * 3 + [8] * 3
    documents = worker.evaluate(LogisticRegression(), {"C": 1.0}, {"C": 2.0}, {"max_iter": 50})
    assert shared_by(documents) == [1, 1, 1]


def test_documents_come_in_the_chunk_s_order(worker: Worker) -> None:
    numbers = {7: 30, 2: 5, 9: 20, 4: 5, 1: 9}
    trials = [Trial(number=number, params={"n_estimators": many}) for number, many in numbers.items()]
    documents = worker.evaluate(SMALL, *trials)
    assert [one["number"] for one in documents] == [7, 2, 9, 4, 1]
    assert [one["params"]["n_estimators"] for one in documents] == [30, 5, 20, 5, 9]
    assert shared_by(documents) == [5] * 5
    assert documents[1]["split_test_score"] == documents[3]["split_test_score"] != documents[0]["split_test_score"]


def test_trials_that_share_a_fit_end_together_and_before_the_next_fit(worker: Worker, fits: list[int]) -> None:
    chunk = worker.chunk(SMALL, *rounds(4, 9), *rounds(6, max_depth=3))
    ended = worker.evaluator.evaluate(encode_chunk(chunk), set(), {})
    assert fits == []
    assert [one["number"] for one in next(ended)] == [0, 1]
    assert fits == [9] * 3
    assert [one["number"] for one in next(ended)] == [2]
    assert fits == [9] * 3 + [6] * 3
    assert next(ended, None) is None


def test_trials_that_bring_their_estimators_share_where_these_are_equal(worker: Worker, fits: list[int]) -> None:
    def own(number: int, estimator: Any, many: int) -> Trial:
        return Trial(number=number, params={"n_estimators": many}, estimator=encode_estimator(estimator, "it"))

    other = LGBMClassifier(verbosity=-1, min_child_samples=5, n_jobs=1)
    trials = [own(0, SMALL, 5), own(1, SMALL, 9), own(2, other, 5), own(3, other, 9), own(4, other, 3)]
    documents = worker.evaluate(None, *trials)
    assert shared_by(documents) == [2, 2, 3, 3, 3]
    assert [one["estimator"] for one in documents] == ["XGBClassifier"] * 2 + ["LGBMClassifier"] * 3
    assert fits == [9] * 3


def test_other_names_for_rounds_share_too(worker: Worker) -> None:
    model = LGBMClassifier(verbosity=-1, min_child_samples=5, n_jobs=1)
    trials = [{"n_estimators": 9}, {"n_estimators": 4}]
    aliased = [{"n_estimators": 9}, {"n_iter": 4}]
    found, expected = worker.evaluate(model, *aliased), worker.evaluate(model, *trials)
    assert shared_by(found) == [2, 2]
    assert [one["split_test_score"] for one in found] == [one["split_test_score"] for one in expected]


def test_a_trial_that_has_a_result_leaves_its_group(worker: Worker, fits: list[int]) -> None:
    chunk = worker.chunk(SMALL, *rounds(4, 12, 7, 9))
    documents = worker.run(chunk, skip={1})
    assert [one["number"] for one in documents] == [0, 2, 3]
    assert shared_by(documents) == [3, 3, 3]
    assert fits == [9] * 3
    assert shared_by(worker.run(chunk, skip={0, 1, 3})) == [1]
    assert fits == [9] * 3 + [7] * 3
    assert worker.run(chunk, skip={0, 1, 2, 3}) == []


def test_trials_whose_neighbour_is_left_out_become_neighbours(worker: Worker) -> None:
    chunk = worker.chunk(SMALL, *rounds(4), *rounds(6, max_depth=3), *rounds(8))
    assert shared_by(worker.run(chunk)) == [1, 1, 1]
    assert shared_by(worker.run(chunk, skip={1})) == [2, 2]


# ----------------------------------------------------------------------------- numbers


CATBOOST = CatBoostClassifier(learning_rate=0.3, depth=2, thread_count=1, silent=True, allow_writing_files=False)
MODELS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "xgboost": (SMALL, rounds(4, 25, 12)),
    "lightgbm": (LGBMClassifier(verbosity=-1, min_child_samples=5, n_jobs=1), rounds(4, 25, 12)),
    "catboost": (CATBOOST, rounds(4, 25, 12)),
    # From 200 rounds on it has other defaults.
    "catboost on both sides of 200 rounds": (CATBOOST, rounds(4, 210, 12)),
    # It makes leaves monotone when all trees are there.
    "catboost with monotone constraints": (CATBOOST, rounds(4, 25, 12, monotone_constraints="(1,0,0,0)")),
}


@pytest.mark.parametrize(("model", "trials"), MODELS.values(), ids=MODELS)
def test_scores_are_those_of_trials_fitted_alone_and_of_scikit_learn(model: Any, trials: list[dict[str, Any]]) -> None:
    found = sorted(Worker().evaluate(model, *trials), key=lambda one: one["number"])
    same_outcome(found, Worker().evaluate(model, *trials, share_fits=False))
    for one, params in zip(found, trials, strict=True):
        made = type(model)(**{**model.get_params(), **params})
        expected = cross_validate(made, X, Y, cv=SPLITS, scoring="neg_log_loss", return_train_score=True)
        assert one["split_test_score"] == expected["test_score"].tolist()
        assert one["split_train_score"] == expected["train_score"].tolist()


def test_catboost_shares_across_200_rounds_where_its_defaults_are_the_same(worker: Worker) -> None:
    few, many = rounds(4), rounds(210)
    assert shared_by(worker.evaluate(CATBOOST, *many, *few)) == [1, 1]
    same = {"leaf_estimation_iterations": 1}
    found = worker.evaluate(CATBOOST, *(one | same for one in (*many, *few)))
    assert shared_by(found) == [2, 2]
    same_outcome(found, Worker().evaluate(CATBOOST, *(one | same for one in (*many, *few)), share_fits=False))


def test_each_trial_has_its_own_fields(worker: Worker) -> None:
    trials = [Trial(number=n, params={"n_estimators": 4 + n}, estimated_seconds=n / 2) for n in range(3)]
    documents = worker.run(worker.chunk(SMALL, *trials), attempts={1: 2})
    assert [one["attempts"] for one in documents] == [1, 2, 1]
    assert [one["estimated_seconds"] for one in documents] == [0.0, 0.5, 1.0]
    assert [one["_id"] for one in documents] == ["study:0", "study:1", "study:2"]
    assert len({one["seed"] for one in documents}) == 3
    assert all(one["started_at"] <= one["finished_at"] for one in documents)


def test_several_metrics_are_scored_for_every_prefix(worker: Worker) -> None:
    metrics = {"a": "accuracy", "l": "neg_log_loss"}
    found = worker.evaluate(SMALL, *rounds(4, 12), scorers=metrics, refit="a")
    alone = Worker().evaluate(SMALL, *rounds(4, 12), scorers=metrics, refit="a", share_fits=False)
    assert shared_by(found) == [2, 2]
    for ours, theirs in zip(found, alone, strict=True):
        assert ours["split_test_l"] == theirs["split_test_l"]
        assert ours["mean_test_score"] == ours["mean_test_a"] == theirs["mean_test_a"]
