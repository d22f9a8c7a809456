"""Keywords that a parameter holds for a function: those of a list, each as it may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import FastICA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import PairwiseKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import QuantileRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from producer.space.space import Space
from producer.validation import check_estimators
from warren.errors import InputError
from warren.safety.built_estimators import check_built

HONEST: list[Any] = [
    FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": [1.0, 2.0, np.inf]}),
    FunctionTransformer(np.clip, kw_args={"min": np.array([0.0, 1.0]), "max": None}),
    FunctionTransformer(np.sum, kw_args={"axis": 1, "keepdims": True, "dtype": np.float32}),
    FunctionTransformer(np.max, kw_args={"axis": (0, 1)}),
    FunctionTransformer(np.log1p, np.expm1, kw_args={"dtype": "float32"}, inv_kw_args={"dtype": np.dtype("float64")}),
    FunctionTransformer(np.nan_to_num, kw_args={"nan": 0.0, "posinf": 1e9, "neginf": -1e9, "copy": True}),
    FunctionTransformer(np.round, kw_args={"decimals": 2}),
    FunctionTransformer(np.log1p, kw_args={}),
    FunctionTransformer(np.log1p, kw_args={"casting": "same_kind", "order": "C", "where": True}),
    FunctionTransformer(np.max, kw_args={"axis": 1, "initial": 0.0}),
    FunctionTransformer(np.median, kw_args={"axis": 1, "overwrite_input": False}),
    KNeighborsClassifier(metric="minkowski", metric_params={"p": 3, "w": [0.5, 1.0]}),
    KNeighborsClassifier(metric="mahalanobis", metric_params={"VI": [[1.0, 0.0], [0.0, 1.0]]}),
    KNeighborsClassifier(metric="seuclidean", metric_params={"V": np.array([1.0, 0.5])}),
    KNeighborsClassifier(metric="mahalanobis", metric_params={"V": np.array([[1.0, 0.0], [0.0, 1.0]])}),
    GaussianProcessRegressor(PairwiseKernel(metric="poly", pairwise_kernels_kwargs={"degree": 2, "coef0": 0.5})),
    KernelRidge(kernel="rbf", kernel_params={"gamma": 0.1}),
    FastICA(fun_args={"alpha": 1.5}),
    QuantileRegressor(solver="highs", solver_options={"presolve": False, "time_limit": 10}),
]


@pytest.mark.parametrize("estimator", HONEST, ids=lambda one: type(one).__name__)
def test_keywords_that_people_give_travel(estimator: Any) -> None:
    assert check_estimators(estimator, Space([{}])).encoded


@pytest.mark.parametrize(
    "keywords",
    [
        {"initial": "/etc/passwd"},
        {"initial": [0.0]},
        {"initial": True},
        {"where": False},
        {"where": 1},
        {"where": [True]},
        {"overwrite_input": True},
        {"order": "S"},
        {"out": [0.0]},
        {"dtype": object},
        {"dtype": "object"},
        {"dtype": "U10"},
        {"dtype": str},
        {"axis": "rows"},
        {"keepdims": "yes"},
        {"a_min": "0"},
        {"a_min": {"a": 1}},
        {"a_min": np.array(["a"])},
        {"nan": "text"},
        {"casting": "unsafe"},
        {"signature": "O->O"},
        {0: 1},
        [("axis", 1)],
        "axis",
    ],
    ids=str,
)
def test_keywords_that_reach_further_are_refused(keywords: Any) -> None:
    for name in ("kw_args", "inv_kw_args"):
        with pytest.raises(
            InputError, match=rf"FunctionTransformer\({name}=\.\.\.\) = .*is given to a function as it is"
        ):
            check_estimators(FunctionTransformer(np.sum, **{name: keywords}), Space([{}]))
        with pytest.raises(InputError, match=rf"^param_grid\['{name}'\]\[1\] = "):
            check_estimators(FunctionTransformer(np.sum), Space({name: [None, keywords]}))


def test_keywords_of_a_kernel_are_those_of_a_list() -> None:
    for keywords in ({"dtype": object, "initial": "/etc/passwd", "where": False}, {"n_jobs": 64}, {"metric": "x"}):
        kernel = PairwiseKernel(metric="rbf", pairwise_kernels_kwargs=keywords)
        with pytest.raises(InputError, match=r"PairwiseKernel\(pairwise_kernels_kwargs=\.\.\.\) = .* as it is"):
            check_estimators(GaussianProcessRegressor(kernel), Space([{}]))
        with pytest.raises(InputError, match="is given to a function as it is"):
            check_built(GaussianProcessRegressor(kernel), ())
