"""Threads and silence, in each library's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRFRegressor

from warren.encoding.codec import decode, encode
from worker.training.build import build

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


class Mine(XGBClassifier):
    """A class of one's own that only hands its parameters on."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (XGBClassifier, "n_jobs"),
        (XGBRFRegressor, "n_jobs"),
        (Mine, "n_jobs"),
        (LGBMClassifier, "n_jobs"),
        (LGBMRegressor, "n_jobs"),
        (CatBoostClassifier, "thread_count"),
        (CatBoostRegressor, "thread_count"),
        (RandomForestClassifier, "n_jobs"),
    ],
)
def test_threads_are_the_worker_s_in_the_library_s_own_word(cls: type, name: str) -> None:
    assert build(cls, {}, 3).get_params()[name] == 3
    assert build(cls, {name: 64}, 3).get_params()[name] == 3


@pytest.mark.parametrize(
    ("cls", "alias"),
    [
        (XGBClassifier, "nthread"),
        (LGBMClassifier, "num_threads"),
        (LGBMClassifier, "num_thread"),
        (LGBMClassifier, "nthread"),
        (LGBMClassifier, "nthreads"),
    ],
)
def test_other_words_for_threads_give_way(cls: type, alias: str) -> None:
    params = build(cls, {alias: 64, "max_depth": 2}, 3).get_params()
    assert params["n_jobs"] == 3
    assert alias not in params
    assert params["max_depth"] == 2


@pytest.mark.parametrize("cls", [DecisionTreeClassifier, Ridge])
def test_an_estimator_without_threads_is_built_as_it_is(cls: type) -> None:
    assert build(cls, {}, 3).get_params() == cls().get_params()


def test_threads_reach_an_estimator_inside_another() -> None:
    encoded = encode(BaggingClassifier(LGBMClassifier(n_jobs=8), n_jobs=8), "estimator")
    built = decode(encoded, build=lambda cls, params: build(cls, params, 2))
    assert built.n_jobs == 2
    assert built.estimator.n_jobs == 2


def test_what_is_put_together_of_parts_starts_no_process_for_each() -> None:
    for cls, params in ((ColumnTransformer, {"transformers": []}), (FeatureUnion, {"transformer_list": []})):
        assert build(cls, params, threads=4).n_jobs == 1
    assert build(RandomForestClassifier, {}, threads=4).n_jobs == 4


def test_parameters_given_are_not_changed() -> None:
    given = {"nthread": 64, "max_depth": 2}
    build(XGBClassifier, given, 1)
    assert given == {"nthread": 64, "max_depth": 2}


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (XGBClassifier, {"n_estimators": 2}),
        (LGBMClassifier, {"n_estimators": 2, "min_child_samples": 50}),
        (CatBoostClassifier, {"iterations": 2}),
    ],
)
def test_an_estimator_prints_nothing_and_writes_no_file(
    cls: type,
    params: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    build(cls, params, 1).fit(X, Y)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cls", "spoken"),
    [
        (XGBClassifier, {"verbosity": 2}),
        (LGBMClassifier, {"verbosity": 1}),
        (LGBMClassifier, {"verbose": 1}),
        (CatBoostClassifier, {"logging_level": "Info"}),
        (CatBoostClassifier, {"verbose": 10}),
        (CatBoostClassifier, {"verbose": False}),
        (CatBoostClassifier, {"silent": True}),
    ],
)
def test_what_a_user_says_about_output_stays(cls: type, spoken: dict[str, Any]) -> None:
    params = build(cls, spoken, 1).get_params()
    assert {name: params[name] for name in spoken} == spoken
    words = {"verbosity", "verbose", "logging_level", "silent"}
    if said := words & set(spoken):  # a second word for the same would be an error, or win
        assert {name for name in words if params.get(name) is not None} == said


@pytest.mark.parametrize("said", [True, None, False])
def test_no_catboost_is_built_that_writes_files(said: bool | None) -> None:
    assert build(CatBoostClassifier, {"allow_writing_files": said}, 1).get_params()["allow_writing_files"] is False


def test_none_says_nothing_about_output() -> None:
    params = build(CatBoostClassifier, {"logging_level": None, "verbose": None}, 1).get_params()
    assert params["logging_level"] == "Silent"
    assert "verbose" not in params
    assert build(LGBMClassifier, {"verbosity": None}, 1).get_params()["verbosity"] == -1


def test_a_user_s_verbosity_does_not_bring_the_files_back() -> None:
    assert build(CatBoostClassifier, {"verbose": 10}, 1).get_params()["allow_writing_files"] is False


@pytest.mark.parametrize("cls", [LGBMClassifier, CatBoostClassifier])
def test_silence_changes_no_number(cls: type, capfd: pytest.CaptureFixture[str]) -> None:
    params = {"n_estimators": 5, "random_state": 3}
    quiet = build(cls, params, 1).fit(X, Y)
    loud = build(cls, params | {"verbose": 1}, 1).fit(X, Y)
    assert np.array_equal(quiet.predict_proba(X), loud.predict_proba(X))
