"""The last look, in the process that trains: parameters where they land, data before a library
opens them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from evaluating import Worker
from faulty import Raises
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from warren.encoding.codec import decode, encode
from warren.errors import InputError
from warren.safety.built_estimators import check_built
from warren.settings import Settings
from worker.training.candidate import Candidate
from worker.training.guards import check_table, install, uninstall

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
ONE = Settings(WARREN_THREADS=1)


@pytest.fixture(autouse=True)
def _guarded() -> None:
    install()


def steps(**named: Any) -> Pipeline:
    return Pipeline([*named.items()])


# Further than a check of a message may foresee: it is set on the object itself.
LANDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "CatBoost": (catboost.CatBoostClassifier(), {"train_dir": "/x"}),
    "LightGBM": (lightgbm.LGBMClassifier(), {"machines": "10.0.0.1:80"}),
    "XGBoost": (xgboost.XGBClassifier(), {"xgb_model": "/x"}),
    "words": (lightgbm.LGBMClassifier(), {"max_bin": "255 fs=/x"}),
    "words in a list": (lightgbm.LGBMClassifier(), {"metric": ["auc", ("a", "fs=/x")]}),
    "words in a name": (lightgbm.LGBMClassifier(), {"fs=/etc/hostname max__bin": 3}),
    "a swapped step": (
        steps(a=LogisticRegression()),
        {"steps": [["a", catboost.CatBoostClassifier()]], "a__output_borders": "/x"},
    ),
    "a step": (steps(a=LogisticRegression()), {"a": catboost.CatBoostClassifier(), "a__allow_writing_files": True}),
    "members": (
        VotingClassifier([("a", LogisticRegression())]),
        {"estimators": (("a", steps(b=LogisticRegression())),), "a__memory": "/x"},
    ),
    "a union": (FeatureUnion([("a", StandardScaler())]), {"a": CountVectorizer(), "a__input": "filename"}),
    "columns": (
        ColumnTransformer([("a", StandardScaler(), [0])]),
        {"a": FunctionTransformer(), "a__kw_args": {"initial": "/x"}},
    ),
    "an ensemble": (BaggingClassifier(), {"estimator": lightgbm.LGBMClassifier(), "estimator__fs": "/x"}),
    "a default": (catboost.CatBoostClassifier(), {"allow_writing_files": None}),
    "a pattern": (CountVectorizer(), {"token_pattern": "(a+)+$"}),
    "a search": (GridSearchCV(LogisticRegression(), {}), {"pre_dispatch": "2**n_jobs"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LANDS)
def test_a_parameter_is_refused_where_it_lands(name: str) -> None:
    estimator, params = LANDS[name]
    with pytest.raises(InputError, match=r"\(.*=\.\.\.\)"):
        estimator.set_params(**params)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_in_a_search_sets_nothing_that_reaches_a_file(tmp_path: Path, threads: int) -> None:
    """Also in the processes that joblib starts."""
    grid = {
        "a": [catboost.CatBoostClassifier(iterations=1, allow_writing_files=False)],
        "a__train_dir": [str(tmp_path / "x")],
    }
    inner = GridSearchCV(steps(a=LogisticRegression()), grid, cv=2)
    with pytest.raises(InputError, match="'train_dir' names a file"):
        VotingClassifier([("a", inner), ("b", LogisticRegression())], n_jobs=threads).fit(X, Y)
    with pytest.raises(ValueError, match="'train_dir' names a file"):
        GridSearchCV(BaggingClassifier(inner, n_estimators=1), {"n_estimators": [1]}, cv=2, n_jobs=threads).fit(X, Y)
    assert not list(tmp_path.iterdir())


def test_a_class_that_is_called_is_asked_by_its_own_name() -> None:
    for name, params in (
        ("catboost.CatBoostClassifier", {"train_dir": "/x"}),
        ("sklearn.pipeline.Pipeline", {"steps": [], "memory": "/x"}),
    ):
        with pytest.raises(InputError, match="names a f"):
            decode({"__estimator__": name, "params": params})
    with pytest.raises(InputError, match=r"is an alias of 'sklearn\.svm\.LinearSVC': use that name"):
        decode({"__estimator__": "sklearn.calibration.LinearSVC", "params": {}})


def test_what_is_built_is_looked_at_as_a_whole() -> None:
    for inside in (
        [("a", catboost.CatBoostClassifier(train_dir="/x"))],
        {"a": (catboost.CatBoostClassifier(train_dir="/x"),)},
        np.array([catboost.CatBoostClassifier(train_dir="/x")], dtype=object),
        BaggingClassifier(steps(a=CountVectorizer(input="file"))),
        Raises(),
    ):
        with pytest.raises(InputError, match="names a file|reads the files|not on the allow-list"):
            check_built(BaggingClassifier(inside), ())
    check_built(BaggingClassifier(Raises()), ["faulty.Raises"])
    check_built(Pipeline([("a", FunctionTransformer(np.clip, kw_args={"a_min": 0}))]), ())


def test_an_estimator_is_looked_at_once_and_draws_what_it_drew_before() -> None:
    drawing = xgboost.XGBClassifier(random_state=np.random.RandomState(3), subsample=0.5, n_estimators=3)
    encoded = encode(steps(scale=StandardScaler(), clf=drawing), "it")
    expected = Candidate(encoded, {"clf__max_depth": 2}, ONE)._made().fit(X, Y).predict_proba(X)
    candidate = Candidate(encoded, {"clf__max_depth": 2}, ONE)
    np.random.seed(0)
    for _ in range(2):
        np.testing.assert_array_equal(candidate().fit(X, Y).predict_proba(X), expected)
    assert np.random.random() == np.random.RandomState(0).random_sample()


# --------------------------------------------------------------------------------- data

PATH = "/etc/passwd?format=csv"
AS_TEXT = {"dtype": object, "initial": PATH, "where": False}


@pytest.mark.parametrize("booster", [xgboost.XGBClassifier, lightgbm.LGBMClassifier, catboost.CatBoostClassifier])
def test_no_library_gets_the_text_that_a_function_made(booster: Callable[..., Any]) -> None:
    texts = np.array([[PATH, ""]] * 40, dtype=object)
    for function, data in ((FunctionTransformer(np.max), texts), (FunctionTransformer(np.sum, kw_args=AS_TEXT), X)):
        with pytest.raises(InputError, match=r"^a function made '/etc/passwd\?format=csv', a str, of X or y"):
            steps(text=function, clf=booster()).fit(data, Y)


@pytest.mark.parametrize(
    "opens",
    [
        lambda: xgboost.DMatrix(PATH),
        lambda: xgboost.DMatrix(data=Path("/etc/passwd")),
        lambda: xgboost.QuantileDMatrix(PATH),
        lambda: lightgbm.Dataset("/etc/passwd").construct(),
        lambda: catboost.Pool("/etc/passwd"),
        lambda: xgboost.XGBClassifier().fit(PATH, Y),
        lambda: catboost.CatBoostClassifier().fit("/etc/passwd"),
    ],
)  # fmt: skip
def test_no_library_opens_data_by_name(opens: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="is the name of a file, but a worker reads no files"):
        opens()


def test_a_function_makes_a_table_with_as_many_rows() -> None:
    frame = pd.DataFrame(X)
    for made in (X, X[:, 0], frame, frame[0], scipy.sparse.csr_array(X), scipy.sparse.csr_matrix(X)):
        check_table(made, X)
        check_table(made, frame)
    given = ["a", "b"]
    check_table(given, given)
    for wrong in (
        "x",
        b"x",
        3,
        np.float64(3),
        np.array("x", dtype=object),
        None,
        [1, 2],
        (X, X),
        {"a": X},
        X[:5],
        frame[:5],
    ):
        with pytest.raises(InputError, match="^a function made"):
            check_table(wrong, X)


def test_what_becomes_of_y_is_a_table_too() -> None:
    for transformed in (
        TransformedTargetRegressor(LinearRegression(), func=np.max, inverse_func=np.exp),
        TransformedTargetRegressor(LinearRegression(), transformer=FunctionTransformer(np.sum, kw_args=AS_TEXT)),
    ):
        with pytest.raises(InputError, match="^a function made"):
            transformed.fit(X, Y)
    TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1).fit(X, Y)


def test_a_trial_whose_function_makes_text_fails_with_the_reason(worker: Worker) -> None:
    filled = FunctionTransformer(np.max)
    chunk = worker.chunk(
        steps(text=filled, clf=xgboost.XGBClassifier(n_estimators=1)), {}, {"text__kw_args": {"axis": 0}}
    )
    for document in worker.run(chunk):
        assert document["state"] == "FAILED"
        assert "a function made" in document["error"]


def test_tests_take_the_guards_off_again() -> None:
    uninstall()
    lightgbm.LGBMClassifier().set_params(output_model="/x")
    FunctionTransformer().set_params(kw_args={"where": False})
    xgboost.XGBClassifier().set_params(xgb_model="/x")
    install()
    with pytest.raises(InputError, match="names a file"):
        lightgbm.LGBMClassifier().set_params(output_model="/x")
