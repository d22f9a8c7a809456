"""Data of every kind, as scikit-learn's own search has them: the same scores, the same failures,
the same models."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from unqueued import Unqueued, as_scikit_learn, scores
from xgboost import XGBClassifier

X, Y = make_classification(90, 5, n_informative=3, flip_y=0.2, random_state=3)
TEXT = np.array(["no", "yes"])[Y]
SHUFFLED = np.random.default_rng(0).permutation(90)
LABELS: dict[str, Any] = {
    "array": Y,
    "list": Y.tolist(),
    "series": pd.Series(Y, index=SHUFFLED, name="label"),
    "column": Y.reshape(-1, 1),
    "frame": pd.DataFrame({"label": Y}, index=SHUFFLED),
}
TEXTS: dict[str, Any] = {
    "array of text": TEXT,
    "list of text": TEXT.tolist(),
    "series of text": pd.Series(TEXT),
    "series of objects": pd.Series(TEXT, dtype=object),
    "series of categories": pd.Series(pd.Categorical(TEXT, ["yes", "no"])),
    "objects": TEXT.astype(object),
    "frame of text": pd.DataFrame({"label": TEXT}),
}
LEARNERS: dict[str, Any] = {
    "CatBoost": CatBoostClassifier(
        iterations=5, depth=3, learning_rate=0.5, thread_count=1, logging_level="Silent", allow_writing_files=False
    ),
    "LightGBM": LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1),
    "a tree": DecisionTreeClassifier(random_state=0),
    "a pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
}
XGBOOST = XGBClassifier(n_estimators=5, n_jobs=1)


# ---------------------------------------------------------------------------------- y


# XGBoost takes numbers alone.
PAIRS = [*((learner, kind) for learner in LEARNERS for kind in LABELS | TEXTS), *(("XGBoost", kind) for kind in LABELS)]


@pytest.mark.parametrize(
    "scoring", [None, pytest.param("accuracy", marks=pytest.mark.slow)], ids=["its own score", "accuracy"]
)
@pytest.mark.parametrize(("learner", "kind"), PAIRS)
def test_labels_of_any_kind_give_scikit_learn_s_scores(learner: str, kind: str, scoring: str | None) -> None:
    y, model = (LABELS | TEXTS)[kind], (LEARNERS | {"XGBoost": XGBOOST})[learner]
    expected = as_scikit_learn(model, [{}], X, y, scoring=scoring)
    [document] = Unqueued().evaluate(model, [{}], X, y, scoring=scoring)
    assert repr(document["split_test_score"]) == repr(expected[0]), document["error"]


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("kind", [*LABELS, *TEXTS])
def test_models_of_labels_of_any_kind_come_back_as_fitted_here(learner: str, kind: str) -> None:
    y, model = (LABELS | TEXTS)[kind], LEARNERS[learner]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = Unqueued().model(model, X, y), type(model)(**model.get_params(deep=False)).fit(X, y)
    assert (ours.classes_.dtype, ours.classes_.tolist()) == (theirs.classes_.dtype, theirs.classes_.tolist())
    mine, other = ours.predict(X), theirs.predict(X)
    assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
    assert mine.tolist() == other.tolist()


def test_several_outputs_arrive_as_a_frame() -> None:
    y = pd.DataFrame({"one": Y, "other": 1 - Y}, index=SHUFFLED)
    model = MultiOutputClassifier(LogisticRegression())
    assert scores(Unqueued().evaluate(model, [{}], X, y)) == as_scikit_learn(model, [{}], X, y)


class ByRow(TransformerMixin, BaseEstimator):
    """Aligns labels with rows by their labels, as encoders of targets do."""

    def fit(self, X: Any, y: Any) -> ByRow:
        assert X.index.equals(y.index)
        assert y.name == "label"
        self.mean_ = y.reindex(X.index).groupby(X["a"] > 0).mean()
        return self

    def transform(self, X: Any) -> Any:
        return X.assign(mean=(X["a"] > 0).map(self.mean_).fillna(0), row=X.index)


def test_rows_keep_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{__name__}.ByRow"
    monkeypatch.setenv("WARREN_ALLOW", own)
    frame = pd.DataFrame(X, columns=list("abcde"), index=SHUFFLED)
    model = make_pipeline(ByRow(), DecisionTreeClassifier(random_state=0))
    y = pd.Series(Y, index=SHUFFLED, name="label")
    assert scores(Unqueued(WARREN_ALLOW=own).evaluate(model, [{}], frame, y)) == as_scikit_learn(model, [{}], frame, y)


# ----------------------------------------------------------------------------------- ids

SMALL, HALVES = np.arange(60.0).reshape(20, 3), np.arange(20) % 2
WORDS, BACKWARDS = np.array(["no", "yes"])[HALVES], np.arange(20)[::-1]
TABLE = pd.DataFrame(SMALL, columns=list("abc")).assign(t=pd.Series(WORDS, dtype=object), c=pd.Categorical(WORDS))
# Made before types of y and row labels were sent.
EARLIER_IDS: dict[str, tuple[Any, Any]] = {
    "golden-5b5ee449f22d": (SMALL.tolist(), HALVES.tolist()),
    "golden-9b7bed3376e3": (SMALL, WORDS.astype(object)),
    "golden-7dd9195cd3c4": (TABLE, pd.Series(HALVES, name="y")),
    "golden-e617090ae90f": (TABLE.set_axis(BACKWARDS), pd.Series(WORDS, index=BACKWARDS)),
    "golden-2a298a233dc3": (SMALL, HALVES.reshape(-1, 1)),
}


@pytest.mark.parametrize("known", EARLIER_IDS)
def test_a_study_is_the_one_that_it_was(known: str) -> None:
    tree, (data, y) = DecisionTreeClassifier(random_state=0), EARLIER_IDS[known]
    assert Unqueued().submitted(tree, {"max_depth": [1, 2]}, data, y, name="golden").id == known


# ------------------------------------------------------------------------------- columns

DAYS = pd.date_range("2020", periods=90)
FRAME = pd.DataFrame(X, columns=list("abcde")).assign(
    day=DAYS,
    local=DAYS.tz_localize("Europe/Berlin"),
    span=pd.to_timedelta(np.arange(90) % 7, unit="D"),
    month=pd.PeriodIndex(DAYS, freq="M"),
    part=pd.cut(X[:, 0], 4),
    of_days=pd.Categorical(DAYS.floor("10D")),
    when=pd.Series(DAYS.date, dtype=object),
    mixed=pd.Series(np.resize(np.array(["x", 1, 2.5, None], dtype=object), 90), dtype=object),
)


def chosen(*steps: tuple[Any, Any]) -> Pipeline:
    columns = make_column_transformer(*steps, remainder="drop", verbose_feature_names_out=False)
    return Pipeline([("columns", columns), ("clf", KNeighborsClassifier(3))])


class Age(TransformerMixin, BaseEstimator):
    """Makes numbers of dates, by what only dates have."""

    def fit(self, X: Any, y: Any = None) -> Age:
        self.first_ = X["day"].min()
        return self

    def transform(self, X: Any) -> Any:
        age, hours = (X["day"] - self.first_).dt.days, X["local"].dt.tz_convert("UTC").dt.hour
        whole = np.array([one.toordinal() for one in X["when"]])
        return np.column_stack([age, hours, X["span"].dt.days, X["month"].dt.month, X["part"].cat.codes, whole])


NUMBERS = (StandardScaler(), list("abcde"))
PIPELINES: dict[str, Any] = {
    "dates are dropped": chosen(NUMBERS),
    "dates are dropped by their type": chosen((StandardScaler(), make_column_selector(dtype_include="float"))),
    "dates become numbers": chosen(NUMBERS, (Age(), ["day", "local", "span", "month", "part", "when"])),
    "categories": chosen(NUMBERS, (OneHotEncoder(handle_unknown="ignore"), ["part", "of_days"])),
    "dates are categories": chosen(NUMBERS, (OneHotEncoder(handle_unknown="ignore"), ["when", "month"])),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_columns_that_a_pipeline_drops_or_converts_travel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{__name__}.Age"
    monkeypatch.setenv("WARREN_ALLOW", own)
    model = PIPELINES[name]
    expected = as_scikit_learn(model, [{}], FRAME, Y)
    assert scores(Unqueued(WARREN_ALLOW=own).evaluate(model, [{}], FRAME, Y)) == expected


FAILING: dict[str, Any] = {
    "dates to a tree": (DecisionTreeClassifier(), FRAME[["a", "day", "local"]]),
    "mixed objects to a scaler": (chosen((StandardScaler(), ["mixed"])), FRAME),
    "text and numbers to an encoder": (chosen((OneHotEncoder(), ["mixed"])), FRAME),
    "dates to LightGBM": (LEARNERS["LightGBM"], FRAME[["a", "day"]]),
    "dates to XGBoost": (XGBOOST, FRAME[["a", "day"]]),
    "complex numbers": (DecisionTreeClassifier(), X * 1j),
    "an array of objects": (DecisionTreeClassifier(), FRAME[["a", "mixed"]].to_numpy(dtype=object)),
}


@pytest.mark.parametrize("name", FAILING)
def test_who_can_not_use_a_column_says_so_in_the_trial(name: str) -> None:
    model, data = FAILING[name]
    [document] = Unqueued().evaluate(model, [{}], data, Y)
    with pytest.raises(Exception) as seen:
        model.fit(data, Y)
    assert document["state"] == "FAILED"
    assert type(seen.value).__name__ in document["error"]


def test_an_array_of_objects_is_encoded_as_here() -> None:
    data = np.column_stack([np.resize(["a", "b", None], 90), np.arange(90) % 3]).astype(object)
    data[:, 1] = data[:, 1].astype(int)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    assert scores(Unqueued().evaluate(model, [{}], data, Y)) == as_scikit_learn(model, [{}], data, Y)
