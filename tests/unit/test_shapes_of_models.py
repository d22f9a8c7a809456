"""A stored model is what the study's own estimator becomes by a fit: anything else in a file
is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMRegressor
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    Kernel,
    Matern,
    PairwiseKernel,
    WhiteKernel,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from stored_models import brought_back, loaded
from xgboost import XGBRegressor

from producer.models.export import read_export
from producer.models.export_manifest import write_manifest
from warren.errors import InputError, StudyError
from worker.training.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((60, 4))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TARGET = X @ [1.0, 2.0, 3.0, 4.0]
OTHER = "which is not trusted|not the study's"


def lightgbm() -> Any:
    return LGBMRegressor(n_estimators=3, n_jobs=1, verbosity=-1, min_child_samples=5)


def stack(member: Any) -> Any:
    return StackingRegressor([("member", member)], final_estimator=Ridge(), cv=2)


@functools.cache
def fitted_stack(cls: type) -> Any:
    member = lightgbm() if cls is LGBMRegressor else XGBRegressor(n_estimators=3, n_jobs=1)
    return stack(member).fit(X, TARGET)


def put_booster_among_members(one: Any) -> None:
    member = one.estimators_[0]
    one.estimators_ = [getattr(member, "_Booster", None) or member.get_booster()]
    one.stack_method_ = ["save_model"]


def name_a_method_that_writes(one: Any) -> None:
    one.stack_method_ = ["save_model"]


def put_second_booster(one: Any) -> None:
    one.final_estimator_.booster = one.estimators_[0]._Booster


def put_booster_in_the_place_of_a_method(one: Any) -> None:
    one.final_estimator_.predict = one.estimators_[0]._Booster


def put_another_estimator_into_its_booster(one: Any) -> None:
    one.estimators_[0]._Booster = one.final_estimator_


def put_an_estimator_that_writes(one: Any) -> None:
    one.estimators_ = [lightgbm().set_params(output_model="/tmp/anything").fit(X, TARGET)]


STACKS: dict[str, Callable[[Any], None]] = {
    "a booster among the members": put_booster_among_members,
    "a method that writes": name_a_method_that_writes,
    "a second booster": put_second_booster,
    "a booster for a method": put_booster_in_the_place_of_a_method,
    "something for a booster": put_another_estimator_into_its_booster,
    "parameters of files": put_an_estimator_that_writes,
}


@pytest.mark.parametrize("what", STACKS)
def test_boosters_lie_in_their_own_class_alone(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changed = deepcopy(fitted_stack(LGBMRegressor))
    STACKS[what](changed)
    with pytest.raises((InputError, StudyError), match=OTHER):
        brought_back(changed, stack(lightgbm()))
    assert list(tmp_path.iterdir()) == []


def test_a_booster_of_xgboost_lies_in_its_own_class_alone() -> None:
    changed = deepcopy(fitted_stack(XGBRegressor))
    put_booster_among_members(changed)
    with pytest.raises(StudyError, match="StackingRegressor.estimators_ holds a Booster"):
        brought_back(changed, stack(XGBRegressor(n_estimators=3, n_jobs=1)))


def test_a_model_of_a_study_without_boosters_holds_none() -> None:
    changed = deepcopy(fitted_stack(LGBMRegressor))
    with pytest.raises(InputError, match=r"lightgbm\.\w+\.\w+.*which is not trusted"):
        brought_back(changed, stack(Ridge()))


TEXT_OF_X = FunctionTransformer(np.sum, kw_args={"dtype": object, "initial": "/etc/passwd?format=csv", "where": False})
SEARCH = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
DRAWN = RandomizedSearchCV(LogisticRegression(), {"C": [1.0]}, n_iter=1, cv=2)


def set_best(one: Any, **params: Any) -> None:
    one.best_params_ = params
    one.best_estimator_.set_params(**params)


# The study's estimator, what is fitted in its place, and what somebody changes of that.
CHANGES: dict[str, tuple[Any, Any, Callable[[Any], None]]] = {
    "a step with a function": (
        make_pipeline(FunctionTransformer(), Ridge()),
        make_pipeline(FunctionTransformer(), Ridge()),
        lambda one: one.steps.__setitem__(0, ("functiontransformer", TEXT_OF_X)),
    ),
    "keywords of a function": (
        make_pipeline(FunctionTransformer(np.log1p), Ridge()),
        make_pipeline(FunctionTransformer(np.log1p), Ridge()),
        lambda one: one.steps[0][1].set_params(kw_args={"where": False}),
    ),
    "another step": (
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(Ridge()),
        lambda one: None,
    ),
    "a step of another class of the study's": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), LogisticRegression()),
        lambda one: one.steps.reverse(),
    ),
    "a member with other parameters": (
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        lambda one: one.estimators_[1].set_params(C=3.0),
    ),
    "a member of another class": (
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        lambda one: one.estimators_.__setitem__(0, FunctionTransformer(np.exp)),
    ),
    "a part with a function": (
        ColumnTransformer([("all", StandardScaler(), [0])], remainder="passthrough"),
        ColumnTransformer([("all", StandardScaler(), [0])], remainder="passthrough"),
        lambda one: one.transformers_[1][1].set_params(func=np.exp),
    ),
    "a part with keywords": (
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        lambda one: one.transformer_.set_params(inv_kw_args={"where": False}),
    ),
    "what a search has found": (SEARCH, SEARCH, lambda one: set_best(one, C=7.0)),
    "a parameter that a search never sets": (SEARCH, SEARCH, lambda one: set_best(one, l1_ratio=0.5)),
    "a search's best with other parameters": (SEARCH, SEARCH, lambda one: one.best_estimator_.set_params(tol=0.5)),
    "a link instead of a template": (Ridge(), Ridge(), lambda one: setattr(one, "_doc_link_template", "javascript:0")),
    "another kind of support vectors": (SVC(), SVC(), lambda one: setattr(one, "_impl", "epsilon_svr")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_model_has_the_parameters_of_the_study(what: str) -> None:
    unfitted, other, change = CHANGES[what]
    fitted = clone(other).fit(X, Y)
    change(fitted)
    with pytest.raises((InputError, StudyError), match=OTHER):
        brought_back(fitted, clone(unfitted))


GIVEN = ConstantKernel(2.0) * Matern([1.0, 2.0, 3.0, 4.0], nu=1.5) + WhiteKernel(0.5, "fixed")
# What somebody puts in the place of the kernel that a fit has found.
KERNELS: dict[str, Callable[[Any], Kernel]] = {
    "another kernel": lambda found: PairwiseKernel(metric="linear"),
    "another kernel of the study's classes": lambda found: found.k1,
    "keywords of a function": lambda found: PairwiseKernel(metric=np.maximum, pairwise_kernels_kwargs={"out": None}),
    "another number that none looks for": lambda found: found.set_params(k1__k2__nu=2.5),
    "a number that is fixed": lambda found: found.set_params(k2__noise_level=3.0),
    "bounds": lambda found: found.set_params(k1__k1__constant_value_bounds=(1.0, 2.0)),
    "more numbers": lambda found: found.set_params(k1__k2__length_scale=np.ones(40)),
    "what is no number": lambda found: found.set_params(k1__k2__length_scale=np.array(["/etc/passwd"] * 4)),
    "a kernel inside": lambda found: found.set_params(k2=RBF()),
    "no kernel": lambda found: Ridge(),
}


@functools.cache
def fitted_process(cls: type) -> Any:
    return cls(GIVEN).fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("process", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_a_kernel_that_a_fit_has_found_comes_back(process: type) -> None:
    fitted = fitted_process(process)
    assert np.array_equal(brought_back(fitted, process(GIVEN)).predict(X), fitted.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("what", KERNELS)
@pytest.mark.parametrize("process", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_a_kernel_is_the_study_s_but_for_what_a_fit_looks_for(process: type, what: str) -> None:
    fitted = deepcopy(fitted_process(process))
    holder = fitted if process is GaussianProcessRegressor else fitted.base_estimator_
    holder.kernel_ = KERNELS[what](holder.kernel_)
    with pytest.raises((InputError, StudyError), match=OTHER):
        brought_back(fitted, process(GIVEN))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "kernel",
    [None, RBF(1), RBF([1.0]), PairwiseKernel(), Matern() ** 2],
    ids=str,
)
def test_what_a_gaussian_process_finds_comes_back(kernel: Any) -> None:
    several = np.digitize(TARGET, [4, 6])
    for process, y in ((GaussianProcessRegressor(kernel), TARGET), (GaussianProcessClassifier(kernel), several)):
        fitted = clone(process).fit(X, y)
        assert np.array_equal(brought_back(fitted, clone(process)).predict(X), fitted.predict(X))


@pytest.mark.parametrize(
    "estimator",
    [
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        AdaBoostClassifier(n_estimators=3, random_state=0),
        OneVsRestClassifier(make_pipeline(StandardScaler(), LogisticRegression(C=2.0))),
        BaggingClassifier(make_pipeline(StandardScaler(), DRAWN), n_estimators=2, random_state=0),
        GridSearchCV(
            make_pipeline(StandardScaler(), SVC()),
            {"svc": [SVC(), LogisticRegression()], "standardscaler": ["passthrough", StandardScaler(with_mean=False)]},
            cv=2,
        ),
        KNeighborsClassifier(algorithm="ball_tree", metric="minkowski", p=3),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_estimators_make_of_the_study_comes_back(estimator: Any) -> None:
    fitted = clone(estimator).fit(X, Y)
    assert np.array_equal(brought_back(fitted, clone(estimator)).predict(X), fitted.predict(X))


def export_of(fitted: Any, folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.skops").write_bytes(pack(fitted).content)
    # The one that writes a folder also writes what it trusts.
    listed = skops.io.get_untrusted_types(data=pack(fitted).content)
    write_manifest(folder, {"model": {"format": "skops", "file": "model.skops", "trusted": listed}})
    return folder


def test_an_export_is_read_as_the_estimator_that_one_names(tmp_path: Path) -> None:
    fitted = fitted_stack(LGBMRegressor)
    there = export_of(fitted, tmp_path / "good")
    assert np.array_equal(read_export(there, stack(lightgbm())).predict(X), fitted.predict(X))
    changed = deepcopy(fitted)
    put_booster_among_members(changed)
    with pytest.raises(StudyError, match="StackingRegressor.estimators_ holds a Booster"):
        read_export(export_of(changed, tmp_path / "bad"), stack(lightgbm()))
    with pytest.raises(InputError, match="which is not trusted"):
        read_export(there, Ridge())


class Scaling(RegressorMixin, BaseEstimator):
    """An estimator of one's own, which makes others for itself."""

    def fit(self, X: Any, y: Any) -> Scaling:
        self.scaler_ = StandardScaler().fit(X)
        self.inner_ = lightgbm().fit(self.scaler_.transform(X), y)
        self.method_used_ = "both"
        return self

    def predict(self, X: Any) -> Any:
        return self.inner_.predict(self.scaler_.transform(X))


def test_what_an_estimator_of_ones_own_makes_comes_back() -> None:
    fitted, allow = Scaling().fit(X, TARGET), (f"{Scaling.__module__}.Scaling",)
    assert np.array_equal(loaded(pack(fitted).content, "skops", Scaling(), allow=allow).predict(X), fitted.predict(X))
    for change in (
        lambda one: setattr(one, "scaler_", one.inner_._Booster),
        lambda one: setattr(one, "scaler_", FunctionTransformer(np.sum, kw_args={"where": False})),
        lambda one: setattr(one, "scaler_", CountVectorizer(input="filename")),
    ):
        changed = deepcopy(fitted)
        change(changed)
        with pytest.raises((InputError, StudyError), match="not the study's|reads the files"):
            loaded(pack(changed).content, "skops", Scaling(), allow=allow)
