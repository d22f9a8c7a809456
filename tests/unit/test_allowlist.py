"""The one door between a string and code."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import catboost
import faulty
import lightgbm
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators

from warren.encoding.codec import decode
from warren.errors import InputError
from warren.safety.allowlist import dotted_name, resolve


class Homemade(BaseEstimator):
    def fit(self, X: Any, y: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (xgboost.XGBClassifier, "xgboost.XGBClassifier"),
        (xgboost.XGBRFRegressor, "xgboost.XGBRFRegressor"),
        (lightgbm.LGBMRanker, "lightgbm.LGBMRanker"),
        (catboost.CatBoostRegressor, "catboost.CatBoostRegressor"),
        (LogisticRegression, "sklearn.linear_model.LogisticRegression"),
        (RandomForestClassifier, "sklearn.ensemble.RandomForestClassifier"),
    ],
)
def test_a_class_has_the_name_that_users_import_it_by(cls: type, name: str) -> None:
    assert dotted_name(cls) == name
    assert resolve(name) is cls


def test_every_estimator_of_scikit_learn_has_a_name_that_leads_back() -> None:
    for _, cls in all_estimators():
        if all(callable(getattr(cls, method, None)) for method in ("fit", "get_params", "set_params")):
            assert resolve(dotted_name(cls)) is cls


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "numpy.load",
        "producer.submit",
        "sklearnx.linear_model.LogisticRegression",
        "sklearn._loss.Loss",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model.__dict__",
        "sklearn.__builtins__.eval",
        "sklearn",
        "XGBClassifier",
        "",
        ".",
        "sklearn.",
        ".sklearn.linear_model.LogisticRegression",
        "sklearn..linear_model.LogisticRegression",
        "sklearn.linear_model.LogisticRegression\n",
        " sklearn.linear_model.LogisticRegression",
        "sklearn/linear_model.LogisticRegression",
        "sklearn.linear_model.LogisticRegression()",
        "sklearn.linéar_model.LogisticRegression",
        "sklearn.linear_model.1",
    ],
)
def test_a_name_off_the_list_is_refused_before_anything_is_imported(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(InputError, match="is not on the allow-list: use a public class of sklearn, xgboost, lightgbm"):
        resolve(name)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sklearn.no_such_module.LogisticRegression", "can't be imported here"),
        ("sklearn.linear_model.LogisticRegression.fit", "can't be imported here"),
        ("sklearn.linear_model.LogisticRegresion", "is no estimator class"),
        ("sklearn.base.clone", "is no estimator class"),
        ("sklearn.utils.Bunch", "is no estimator class"),
        ("sklearn.model_selection.KFold", "is no estimator class"),
        ("sklearn.utils.sys", "is no estimator class"),
        ("xgboost.DMatrix", "is no estimator class"),
        ("lightgbm.train", "is no estimator class"),
    ],
)
def test_a_name_that_leads_to_no_estimator_is_refused(name: str, why: str) -> None:
    with pytest.raises(InputError, match=f"^estimator {name!r}.*{why}"):
        resolve(name)


def test_single_classes_may_be_added_letter_by_letter() -> None:
    assert resolve("faulty.Sleeps", ["faulty.Sleeps"]) is faulty.Sleeps
    assert dotted_name(faulty.Sleeps, ["faulty.Sleeps"]) == "faulty.Sleeps"
    for allow in (["faulty"], ["faulty."], ["faulty.*"], ["faulty.Exits"], ["Sleeps"], []):
        with pytest.raises(InputError, match="or name it in WARREN_ALLOW"):
            resolve("faulty.Sleeps", allow)
        with pytest.raises(InputError, match=r"'faulty\.Sleeps' is not on the allow-list"):
            dotted_name(faulty.Sleeps, allow)


def test_what_was_added_once_is_not_allowed_for_ever() -> None:
    resolve("faulty.Draws", ["faulty.Draws"])
    with pytest.raises(InputError, match="not on the allow-list"):
        resolve("faulty.Draws")


def test_an_added_name_must_lead_to_an_estimator_too() -> None:
    with pytest.raises(InputError, match="is no estimator class"):
        resolve("os.system", ["os.system"])


@pytest.mark.slow
def test_a_class_that_has_to_be_enabled_first_is_found_where_nobody_has() -> None:
    """In a process of its own: what is enabled once is enabled for all."""
    code = "from warren.safety.allowlist import resolve; print(resolve('sklearn.impute.IterativeImputer').__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "IterativeImputer"


def test_a_class_that_no_name_leads_to_is_refused() -> None:
    class Local(LogisticRegression):
        pass

    hidden = type("Hidden", (LogisticRegression,), {"__module__": "sklearn.linear_model"})
    with pytest.raises(InputError, match="not on the allow-list"):
        dotted_name(Homemade)
    with pytest.raises(InputError, match="not on the allow-list"):
        dotted_name(Local)
    with pytest.raises(InputError, match="has no public name: use a class that its package exports"):
        dotted_name(hidden)


@pytest.mark.parametrize(
    "name",
    [
        "lightgbm.DaskLGBMClassifier",
        "lightgbm.DaskLGBMRanker",
        "lightgbm.dask.DaskLGBMRegressor",
        "xgboost.dask.DaskXGBClassifier",
        "xgboost.spark.SparkXGBClassifier",
        "xgboost.tracker.RabitTracker",
        "catboost.hnsw.HnswEstimator",
        "catboost.eval.catboost_evaluation.CatBoost",
        "lightgbm.compat.LabelEncoder",
        "lightgbm.sklearn.LGBMClassifier",
        "xgboost.sklearn.XGBClassifier",
        "sklearn.utils.estimator_checks.LogisticRegression",
    ],
)
def test_what_starts_more_than_a_fit_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not on the allow-list"):
        resolve(name)


def test_a_class_has_one_name_for_messages() -> None:
    for name, known in {
        "sklearn.calibration.LinearSVC": "sklearn.svm.LinearSVC",
        "sklearn.pipeline.FunctionTransformer": "sklearn.preprocessing.FunctionTransformer",
    }.items():
        with pytest.raises(InputError, match=f"^estimator '{name}' is an alias of '{known}': use that name$"):
            decode({"__estimator__": name, "params": {}})
