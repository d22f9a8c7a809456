"""Trial documents as tables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from producer.results import frames
from producer.space.space import Space
from warren.errors import StudyError, TrialError
from warren.messages import Objective
from warren.storage.results_table import as_table, schema


def objective(*metrics: str, **fields: Any) -> Objective:
    return Objective(
        **{
            "estimator": None,
            "dataset": "a" * 64,
            "splits": "b" * 64,
            "n_splits": 2,
            "scorers": dict.fromkeys(metrics or ("score",)),
            "refit": metrics[0] if metrics else "score",
            "error_score": math.nan,
            "return_train_score": False,
            **fields,
        }
    )


def document(number: int, *scores: float, **fields: Any) -> dict[str, Any]:
    """Make a trial document; further scores by metric: ``split_test_auc=[...]``."""
    return {
        "number": number,
        "state": "COMPLETE",
        "estimator": "Ridge",
        "split_test_score": list(scores),
        "split_fit_seconds": [0.25, 0.75],
        "split_score_seconds": [0.5, 0.5],
        "fit_seconds": 1.0,
        "score_seconds": 1.0,
        "saved_seconds": 0.25,
        "shared_by": 2,
        "error": None,
        "worker": "w-0",
        "attempts": 1,
        "started_at": datetime(2025, 1, 1, tzinfo=UTC),
        "finished_at": datetime(2025, 1, 2, tzinfo=UTC),
        **fields,
    }


def failed(number: int, *scores: float, failed_fits: int = 2) -> dict[str, Any]:
    return document(number, *scores, state="FAILED", error=f"fold 0: no {number}", failed_fits=failed_fits)


def cv_results(documents: Iterable[dict[str, Any]], space: Space, asked: Objective) -> dict[str, Any]:
    return frames.cv_results(as_table(documents, schema(asked.parts)), space, asked)


def results_frame(documents: Iterable[dict[str, Any]], space: Space, asked: Objective) -> pd.DataFrame:
    return frames.results_frame(as_table(documents, schema(asked.parts)), space, asked)


SPACE = Space({"a": [1, 2, 3]})


# -------------------------------------------------------------------------- cv_results_


def test_columns_are_scikit_learn_s_in_its_order() -> None:
    documents = [document(n, 0.5, 1.0) for n in (2, 0, 1)]
    found = cv_results(documents, SPACE, objective())
    assert list(found) == [
        *("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time", "param_a", "params"),
        *("split0_test_score", "split1_test_score", "mean_test_score", "std_test_score", "rank_test_score"),
    ]
    assert found["params"] == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert found["mean_fit_time"].tolist() == [0.5] * 3
    assert found["std_fit_time"].tolist() == [0.25] * 3
    assert found["std_score_time"].tolist() == [0.0] * 3


def test_documents_come_in_any_order() -> None:
    documents = [document(2, 0.1, 0.3), document(0, 0.5, 0.5), document(1, 0.0, 1.0)]
    found = cv_results(iter(documents), SPACE, objective())
    assert found["split0_test_score"].tolist() == [0.5, 0.0, 0.1]
    assert found["mean_test_score"].tolist() == [0.5, 0.5, 0.2]
    assert found["rank_test_score"].tolist() == [1, 1, 3]


def test_several_metrics_and_train_scores_have_their_columns() -> None:
    parts = [f"split_{part}_{metric}" for metric in ("acc", "auc") for part in ("test", "train")]
    documents = [document(n, **{name: [n / 10 + i, n / 10] for i, name in enumerate(parts)}) for n in range(3)]
    found = cv_results(documents, SPACE, objective("acc", "auc", return_train_score=True))
    assert [name for name in found if "acc" in name or "auc" in name] == [
        *("split0_test_acc", "split1_test_acc", "mean_test_acc", "std_test_acc", "rank_test_acc"),
        *("split0_train_acc", "split1_train_acc", "mean_train_acc", "std_train_acc"),
        *("split0_test_auc", "split1_test_auc", "mean_test_auc", "std_test_auc", "rank_test_auc"),
        *("split0_train_auc", "split1_train_auc", "mean_train_auc", "std_train_auc"),
    ]
    assert found["split0_train_acc"].tolist() == [1.0, 1.1, 1.2]
    assert found["rank_test_auc"].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("means", "ranks"),
    [
        ([0.1, 0.3, 0.2], [3, 1, 2]),
        ([0.3, 0.3, 0.2], [1, 1, 3]),
        ([math.nan, -5.0, -1.0], [3, 2, 1]),
        ([math.nan, 0.5, math.nan], [2, 1, 2]),
        ([math.nan, math.nan, math.nan], [1, 1, 1]),
        ([-math.inf, 0.0, 1.0], [3, 2, 1]),
    ],
)
def test_ranks_are_scikit_learn_s(means: list[float], ranks: list[int]) -> None:
    documents = [document(n, mean, mean) for n, mean in enumerate(means)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an infinite mean has no deviation
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite", UserWarning)
        found = cv_results(documents, SPACE, objective())
    assert found["rank_test_score"].tolist() == ranks
    assert found["rank_test_score"].dtype == np.int32


class Takes(BaseEstimator):
    """Takes anything as a, b and c."""

    def __init__(self, a: Any = None, b: Any = None, c: Any = None) -> None:
        self.a, self.b, self.c = a, b, c

    def fit(self, X: Any, y: Any = None) -> Self:
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return 0.5


GRIDS: list[Any] = [
    {"a": [1, 2], "b": [0.5, 1.5]},
    {"a": [1, 2.5]},
    {"a": [1, None]},
    {"a": ["x", "long text"]},
    {"a": ["x", 1, 2.5, None]},
    {"a": [True, False]},
    {"a": [True, 2]},
    {"a": [[1, 2], [3, 4]]},
    {"a": [[1, 2], [3]]},
    {"a": [(1, 2), (3,)]},
    {"a": [[], [1]]},
    {"a": [{"k": 1}, None]},
    {"a": np.array([0.1, 0.2]), "b": np.array([1, 2], dtype=np.int32)},
    {"a": np.array(["x", "y"])},
    {"a": range(3)},
    {"a": [LogisticRegression(), DecisionTreeClassifier()]},
    {"a": [math.nan, 1.0]},
    {"a": [2**62, 2]},
    [{"a": [1, 2]}, {"b": [0.5]}, {"c": ["x"], "a": [3]}],
    [{"a": [1]}, {"a": ["x"]}],
    [{"a": [[1, 2]]}, {"b": [[1, 2], [3, 4]]}],
    [{}, {"a": [1]}],
]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_parameters_are_masked_and_typed_as_in_scikit_learn(grid: Any) -> None:
    space = Space(grid)
    search = GridSearchCV(Takes(), grid, cv=2, refit=False).fit(np.ones((4, 1)))
    found = cv_results([document(n, 0.5, 0.5) for n in range(space.size)], space, objective())
    assert list(found) == list(search.cv_results_)
    assert repr(found["params"]) == repr(search.cv_results_["params"])
    for name in (name for name in found if name.startswith("param_")):
        ours, theirs = found[name], search.cv_results_[name]
        assert type(ours) is type(theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.ma.getmaskarray(ours).tolist() == np.ma.getmaskarray(theirs).tolist()
        assert [type(value) for value in ours.tolist()] == [type(value) for value in theirs.tolist()]
        assert repr(ours.tolist()) == repr(theirs.tolist())


# ---------------------------------------------------------------------------- failures


def read_with_warnings(documents: list[dict[str, Any]], asked: Objective) -> tuple[dict[str, Any], list[str]]:
    """Return the results, and the warnings that came with them: each category's name and text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = cv_results(documents, Space({"a": list(range(len(documents)))}), asked)
    return found, [f"{one.category.__name__}: {one.message}" for one in caught]


class Fails(Takes):
    """Raises for some values of a."""

    def fit(self, X: Any, y: Any = None) -> Self:
        if self.a in (1, 2):
            raise ValueError(f"no {self.a}")
        return self


@pytest.mark.parametrize("error_score", [math.nan, 0.0])
def test_failed_fits_warn_in_the_words_of_scikit_learn(error_score: float) -> None:
    documents = [document(0, 0.5, 0.5), *(failed(n, error_score, error_score) for n in (1, 2))]
    _, ours = read_with_warnings(
        [one | {"error": one["error"] and f"fold 0: ValueError: no {one['number']}"} for one in documents],
        objective(error_score=error_score),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = GridSearchCV(Fails(), {"a": [0, 1, 2]}, cv=2, refit=False, error_score=error_score)
        search.fit(np.ones((4, 1)))
    theirs = [f"{one.category.__name__}: {one.message}" for one in caught]
    # Instead of tracebacks, their last lines.
    head, _, rest = theirs[0].partition("-" * 80)
    last = [line for line in rest.splitlines() if line.startswith(("2 fits failed with", "-" * 80, "ValueError"))]
    assert ours[0] == "\n".join([f"{head}{'-' * 80}", *last])
    assert ours[1:] == theirs[1:]


def test_a_failed_fold_counts_once_and_the_others_by_their_reasons() -> None:
    documents = [
        document(0, 0.5, 1.0),
        failed(1, math.nan, 1.0, failed_fits=1),
        *(failed(n, math.nan, math.nan) | {"error": "fold 1: out of memory"} for n in (2, 3)),
    ]
    found, told = read_with_warnings(documents, objective())
    assert told[0].startswith("FitFailedWarning: \n5 fits failed out of a total of 8.\n")
    assert told[0].index("4 fits failed with the following error:\nout of memory") < told[0].index("1 fits failed with")
    assert found["rank_test_score"].tolist() == [1, 2, 2, 2]


def test_scores_that_can_not_be_computed_are_another_warning() -> None:
    documents = [document(0, 0.5, 1.0), failed(1, 0.5, math.nan, failed_fits=0)]
    _, told = read_with_warnings(documents, objective())
    assert [one.partition(".")[0] for one in told] == [
        "UserWarning: Scoring failed in 1 trials",
        "UserWarning: One or more of the test scores are non-finite: [0",
    ]
    assert told[0].endswith("will be set to nan. Details: \nno 1")


def test_a_warning_names_ten_reasons_at_most() -> None:
    _, told = read_with_warnings(
        [document(0, 0.5, 1.0), *(failed(n, math.nan, math.nan) for n in range(1, 15))], objective()
    )
    assert told[0].count("2 fits failed with the following error") == 10
    assert told[0].endswith("and 4 other errors: the study's results() has them all")


def test_a_mean_that_is_no_number_is_told_for_each_part_and_metric() -> None:
    parts = [f"split_{part}_{metric}" for metric in ("acc", "auc") for part in ("test", "train")]
    documents = [document(n, **{name: [0.5, math.nan if n else 0.5] for name in parts}) for n in range(2)]
    _, told = read_with_warnings(documents, objective("acc", "auc", return_train_score=True))
    expected = [
        f"UserWarning: One or more of the {part} scores are non-finite: [0.5 nan]" for part in ("test", "train")
    ]
    assert told == expected * 2


def test_failed_trials_rank_by_the_score_they_were_given() -> None:
    documents = [document(0, -5.0, -5.0), failed(1, 0.0, 0.0), document(2, -1.0, -1.0)]
    with pytest.warns(FitFailedWarning, match=r"will be set to 0\.0"):
        found = cv_results(documents, SPACE, objective(error_score=0.0))
    assert found["rank_test_score"].tolist() == [3, 1, 2]


@pytest.mark.parametrize("error_score", [math.nan, 0.0])
def test_a_search_without_one_fit_is_an_error(error_score: float) -> None:
    documents = [failed(n, error_score, error_score) for n in range(3)]
    with pytest.raises(TrialError, match=r"^\nAll the 6 fits failed\.\n(.*\n)*2 fits failed.*error:\nno 0"):
        cv_results(documents, SPACE, objective(error_score=error_score))


def test_a_search_with_one_fit_is_a_result() -> None:
    documents = [failed(0, 0.0, 0.5, failed_fits=1), *(failed(n, 0.0, 0.0) for n in (1, 2))]
    with pytest.warns(FitFailedWarning, match="5 fits failed out of a total of 6"):
        found = cv_results(documents, SPACE, objective(error_score=0.0))
    assert found["mean_test_score"].tolist() == [0.25, 0.0, 0.0]


def test_one_failed_trial_raises_where_that_was_asked_for() -> None:
    documents = [document(0, 0.5, 1.0), failed(1, math.nan, math.nan), document(2, 0.5, 1.0)]
    with pytest.raises(TrialError, match='1 of 3 trials failed and error_score="raise"; the first is trial 1: fold 0'):
        cv_results(documents, SPACE, objective(error_score="raise"))


# --------------------------------------------------------------------------- results()


def test_a_frame_has_one_row_a_trial_by_number() -> None:
    space = Space([{"a": [1, 2], "b": ["x"]}, {"c": [0.5]}])
    documents = [document(2, 0.0, 1.0), document(0, 0.5, 1.0)]
    frame = results_frame(documents, space, objective())
    assert list(frame.columns) == [
        *("number", "state", "estimator", "params", "param_a", "param_b", "param_c"),
        *("split0_test_score", "split1_test_score", "mean_test_score", "std_test_score", "rank_test_score"),
        *("fit_seconds", "score_seconds", "saved_seconds", "shared_by", "mean_best_iteration", "error", "output"),
        *("worker", "device", "attempts", "started_at", "finished_at"),
    ]
    assert frame.index.tolist() == frame["number"].tolist() == [0, 2]
    assert frame["params"].tolist() == [{"a": 1, "b": "x"}, {"c": 0.5}]
    assert frame["param_a"].tolist() == [1, None]
    assert frame["mean_test_score"].tolist() == [0.75, 0.5]
    assert frame["rank_test_score"].tolist() == [1, 2]


def test_a_frame_says_what_was_shared_and_where_early_stopping_ended() -> None:
    stopped = document(1, 0.0, 1.0, mean_best_iteration=17.5, split_best_iteration=[10, 25])
    frame = results_frame([document(0, 0.5, 1.0, shared_by=3), stopped], SPACE, objective())
    assert frame["shared_by"].tolist() == [3, 2]
    assert frame["saved_seconds"].tolist() == [0.25, 0.25]
    assert frame["mean_best_iteration"].isna().tolist() == [True, False]
    assert frame["mean_best_iteration"][1] == 17.5


def test_a_document_of_an_older_worker_has_gaps_there() -> None:
    old = {name: value for name, value in document(0, 0.5, 1.0).items() if name not in {"saved_seconds", "shared_by"}}
    frame = results_frame([old, document(1, 0.5, 1.0)], SPACE, objective())
    assert frame["saved_seconds"].isna().tolist() == frame["shared_by"].isna().tolist() == [True, False]


def test_whole_columns_of_parameters_keep_their_type() -> None:
    frame = results_frame([document(n, 1.0, 1.0) for n in range(4)], Space({"a": [1, 2], "b": [0.5, 1]}), objective())
    assert (frame["param_a"].dtype, frame["param_b"].dtype) == (np.dtype("int64"), np.dtype("float64"))


def test_times_are_utc() -> None:
    frame = results_frame([document(0, 1.0, 1.0), failed(1, 0.0, 0.0) | {"started_at": None}], SPACE, objective())
    assert str(frame["started_at"].dt.tz) == str(frame["finished_at"].dt.tz) == "UTC"
    assert pd.isna(frame["started_at"][1])


def test_failed_trials_are_rows_without_a_warning() -> None:
    frame = results_frame([failed(n, math.nan, math.nan) for n in range(3)], SPACE, objective(error_score="raise"))
    assert frame["state"].tolist() == ["FAILED"] * 3
    assert frame["error"].tolist() == ["fold 0: no 0", "fold 0: no 1", "fold 0: no 2"]
    assert frame["mean_test_score"].isna().all()


def test_a_study_without_results_is_an_empty_frame() -> None:
    frame = results_frame([], SPACE, objective("acc", "auc", return_train_score=True))
    assert len(frame) == 0
    assert {"number", "state", "mean_test_acc", "mean_train_auc", "finished_at"} <= set(frame.columns)


@pytest.mark.parametrize("name", ["split_test_score", "split_fit_seconds"])
def test_a_document_that_lost_a_field_is_named(name: str) -> None:
    documents = [document(0, 0.5, 1.0), document(1, 0.5, 1.0), document(2, 0.5, 1.0)]
    del documents[1][name]
    with pytest.raises(StudyError, match=f"^trial 1 has no '{name}' in its document"):
        cv_results(documents, SPACE, objective())


def test_a_document_that_holds_what_no_worker_writes_is_an_error() -> None:
    with pytest.raises(StudyError, match="a result has a value that no worker writes: .*half"):
        results_frame([document(0, 0.5, 1.0, fit_seconds="half")], SPACE, objective())
