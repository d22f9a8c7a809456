"""What fitted estimators hold other than numbers comes back: an index, distributions, odd keys,
rings of objects."""

from __future__ import annotations

import datetime
import uuid
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import skops.io
from alike import assert_alike
from scipy.stats import loguniform, randint
from sklearn.base import clone
from sklearn.cluster import Birch, BisectingKMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC
from stored_models import brought_back

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.random((60, 3)), columns=["a", "b", "c"])
Y = (X["a"] + X["b"] > 1).to_numpy()
NUMBERS = X.select_dtypes("number").columns
TEXTS = np.array([f"{one} {other}" for one in ("red", "blue", "green") for other in ("sky", "sea")] * 10, dtype=object)
CATEGORIES = X.assign(c=pd.Categorical(np.array(["x", "y", "z"])[np.digitize(X["c"], [0.3, 0.6])]))
SEARCH = RandomizedSearchCV(
    LogisticRegression(),
    {"C": loguniform(1e-2, 10), "max_iter": randint(90, 110)},
    n_iter=2,
    cv=StratifiedKFold(2),
    scoring=make_scorer(fbeta_score, beta=2),
    random_state=0,
)

MODELS: dict[str, tuple[Any, Any, Any]] = {
    "an index of columns": (ColumnTransformer([("num", StandardScaler(), NUMBERS)]), X, Y),
    "an index of numbers": (ColumnTransformer([("num", StandardScaler(), pd.Index([0, 2]))]), X.to_numpy(), Y),
    "keys that are truth values": (LogisticRegression(class_weight={False: 1.0, True: 2.0}), X, Y),
    "distributions, splits and a scorer": (SEARCH, X, Y),
    "a threshold": (TunedThresholdClassifierCV(LogisticRegression(), scoring="f1", cv=2), X, Y),
    "documents and vectors": (make_pipeline(TfidfVectorizer(), SVC()), TEXTS, Y),
    "sparse neighbours": (make_pipeline(OneHotEncoder(), KNeighborsClassifier()), CATEGORIES[["c"]], Y),
    "categories": (HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"), CATEGORIES, Y),
    "rows of components that lie backwards": (PCA(), scipy.sparse.csr_array(X.to_numpy()), Y),
    "splines": (make_pipeline(SplineTransformer(extrapolation="periodic"), LogisticRegression()), X, Y),
}


@pytest.mark.filterwarnings("ignore:.*feature names:UserWarning")
@pytest.mark.parametrize("what", MODELS)
def test_what_a_model_holds_comes_back(what: str) -> None:
    estimator, data, y = MODELS[what]
    fitted = clone(estimator).fit(data, y)
    assert_alike(brought_back(fitted, clone(estimator)), fitted, data, y)


DAYS = pd.Series(pd.date_range("2024-10-26", periods=60, freq="37min", unit="ms"))
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
OBJECTS: dict[str, Sequence[Any]] = {
    "dates": [datetime.date(2024, 1, 1 + number % 3) for number in range(60)],
    "times": [datetime.time(number % 3, 5, 0, 7) for number in range(60)],
    "moments": [datetime.datetime(2024, 1, 1 + number % 3) for number in range(60)],
    "moments with zones": [
        datetime.datetime(2024, 1, 1 + number % 3, tzinfo=(BERLIN, datetime.UTC)[number % 2]) for number in range(60)
    ],
    "spans": [datetime.timedelta(number % 3, 4, 5) for number in range(60)],
    "decimals": [Decimal(number % 3) / 7 for number in range(60)],
    "identifiers": [uuid.UUID(int=number % 3) for number in range(60)],
    "moments of pandas": list(DAYS),
    "moments of pandas with a zone": list(DAYS.dt.tz_localize("UTC").dt.tz_convert(BERLIN)),
    "periods": list(DAYS.dt.to_period("h")),
    "intervals": list(pd.cut(X["a"], 4)),
    "bytes": [b"ab"[number % 2 :] for number in range(60)],
}


@pytest.mark.parametrize("what", OBJECTS)
@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=["one-hot", "ordinal"])
def test_categories_that_are_objects_come_back(what: str, encoder: Any) -> None:
    data = pd.DataFrame({"it": pd.Series(list(OBJECTS[what]), dtype=object)})
    fitted = clone(encoder).fit(data)
    ours = brought_back(fitted, clone(encoder))
    assert [repr(one) for one in ours.categories_[0]] == [repr(one) for one in fitted.categories_[0]]
    assert_alike(ours, fitted, data)


def test_clusters_that_refer_to_each_other_go_on_where_they_were() -> None:
    blobs = RNG.random((400, 2))
    theirs = Birch(threshold=0.02, branching_factor=4, n_clusters=5).fit(blobs[:300])
    ours = brought_back(theirs, clone(theirs))
    assert_alike(ours, theirs, blobs)
    assert_alike(ours.partial_fit(blobs[300:]), theirs.partial_fit(blobs[300:]), blobs)


@pytest.mark.slow
def test_a_tree_that_is_hundreds_of_nodes_deep_comes_back() -> None:
    chain = (2.0 ** -np.arange(250)).reshape(-1, 1)
    theirs = BisectingKMeans(n_clusters=200, random_state=0, bisecting_strategy="largest_cluster").fit(chain)
    ours = brought_back(theirs, clone(theirs))
    assert np.array_equal(ours.predict(chain), theirs.predict(chain))
    depth, node = 0, ours._bisecting_tree
    while node.left is not None:
        depth, node = depth + 1, max(node.left, node.right, key=lambda one: one.left is not None)
    assert depth > 5


def test_an_archive_is_read_without_warren(tmp_path: Any) -> None:
    from worker.training.models import pack

    fitted = make_pipeline(clone(MODELS["an index of columns"][0]), SplineTransformer(), LogisticRegression()).fit(X, Y)
    content = pack(fitted).content
    read = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert np.array_equal(read.predict_proba(X), fitted.predict_proba(X))
