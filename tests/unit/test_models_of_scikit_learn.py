"""Every estimator of scikit-learn comes back as it was fitted, on data of each kind
that it takes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from alike import assert_alike
from sklearn.base import clone
from sklearn.utils import all_estimators, get_tags
from sklearn.utils._test_common.instance_generator import _construct_instances
from stored_models import brought_back
from threadpoolctl import threadpool_limits

ROWS = 48
RNG = np.random.default_rng(0)
X = RNG.random((ROWS, 4))
CODES = np.digitize(X[:, 0], [0.3, 0.6])
TEXTS = np.array(["the quick fox", "brown dogs jump", "over lazy cats"], dtype=object)

# By name, what a fit may be given.
DATA: dict[str, Any] = {
    "numbers": X,
    "a sparse array": scipy.sparse.csr_array(np.where(X > 0.4, X, 0)),
    "a sparse matrix": scipy.sparse.csr_matrix(np.where(X > 0.4, X, 0)),
    "a data frame": pd.DataFrame(X, columns=list("abcd")),
    "categories": pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(np.array(list("xyz"))[CODES])}),
    "texts": TEXTS[CODES],
    "one column": X[:, :1],
    "a kernel": X @ X.T,
}
LABELS: dict[str, Any] = {
    "names of two classes": np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 1).astype(int)],
    "numbers of three classes": CODES,
    "a number": X @ [1.0, 2.0, 3.0, 4.0],
    "two numbers": np.column_stack([X[:, 0], X @ [1.0, 2.0, 3.0, 4.0]]),
    "two labels": (X[:, :2] > 0.5).astype(int),
    "nothing": None,
}
# What is no study's estimator.
NOT_WALKED = {
    "DictVectorizer": "takes dicts, and no data are sent as such",
    "SparseCoder": "has an array of two dimensions as a parameter, which can not be sent",
    "FrozenEstimator": "holds a fitted estimator, and is refused when it is submitted",
}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


def fits(estimator: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield fits of an estimator: numbers with all labels that it takes, and other data
    with the first."""
    pairwise = get_tags(estimator).input_tags.pairwise
    for kind, data in DATA.items():
        if pairwise is not (kind == "a kernel"):
            continue
        for labels, y in LABELS.items():
            one = clone(estimator)
            try:
                one.fit(data) if y is None else one.fit(data, y)
            except Exception:  # noqa: BLE001 - it takes something else
                continue
            yield f"{kind}, {labels}", one, data, y
            if kind not in ("numbers", "a kernel"):
                break


# Of each kind one; the others are slow, for they are two hundred.
QUICK = {
    "KMeans",
    "KNeighborsClassifier",
    "PCA",
    "Ridge",
    "SVC",
    "StandardScaler",
    "TfidfVectorizer",
    "DecisionTreeClassifier",
}


@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(cls, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, cls in all_estimators()
        if name not in NOT_WALKED
    ],
)
def test_an_estimator_comes_back_as_it_was_fitted(cls: type) -> None:
    walked = 0
    with quietly():
        for number, estimator in enumerate(islice(_construct_instances(cls), 2)):
            for what, fitted, data, y in islice(fits(estimator), None if number == 0 else 1):
                try:
                    # A copy: some work otherwise where they are asked about the very array that
                    # they were fitted on.
                    assert_alike(brought_back(fitted, clone(estimator)), fitted, deepcopy(data), y)
                except Exception as exc:
                    exc.add_note(f"{estimator!r} fitted on {what}")
                    raise
                walked += 1
    assert walked
