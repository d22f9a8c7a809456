"""A stored model is somebody else's file: it may hold what models consist of, and calls nothing."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import zipfile
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer

from producer.models import load
from producer.models.trust import _trusted
from tuning.errors import InputError, StudyError
from worker.models import pack

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)

MODELS: list[Any] = [
    make_pipeline(SplineTransformer(), Ridge()),
    make_pipeline(FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1}), Ridge()),
    make_pipeline(FunctionTransformer(np.arctan), KNeighborsClassifier(algorithm="kd_tree")),
    CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2),
    GaussianProcessClassifier(RBF() + WhiteKernel(), optimizer=None),
]


def about(content: bytes, **facts: Any) -> dict[str, Any]:
    return {"file": "x", "format": "skops", "sha256": hashlib.sha256(content).hexdigest(), "facts": facts}


def archive(node: dict[str, Any]) -> bytes:
    """An archive as skops reads it, written by hand."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("schema.json", json.dumps(node | {"__id__": 1, "protocol": 2, "_skops_version": "0.16"}))
    return content.getvalue()


def calls(module: str, name: str, *arguments: Any) -> bytes:
    """An archive whose object is made by calling something."""
    items = [
        {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(one)}
        for one in arguments
    ]
    given = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": items}
    return archive(
        {"__class__": name, "__module__": module, "__loader__": "ConstructorFromReduceNode", "content": given}
    )


@pytest.mark.parametrize("estimator", MODELS, ids=[f"{position}" for position in range(len(MODELS))])
def test_what_models_consist_of_comes_back(estimator: Any) -> None:
    fitted = estimator.fit(X, Y)
    packed = pack(fitted)
    found = load(packed.content, about(packed.content), estimator)
    assert np.array_equal(found.predict(X), fitted.predict(X))


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.datasets._openml.TemporaryDirectory",  # only imported there
        "xgboost.sklearn.ThreadPoolExecutor",
        "lightgbm.basic.Path",
        "xgboost.core.DMatrix",  # reads files, and frees what is at an address
        "xgboost.tracker.RabitTracker",
        "sklearn.feature_selection._base.warn",
        "sklearn.feature_selection._from_model.deepcopy",
        "numpy.f2py.__main__.main",  # runs when it is imported
        "numpy.load",
        "sklearn.of_a_later_version.Model",
        "sklearn.pipeline.Pipeline.fit",
        "builtins.eval",
        "os.system",
    ],
)
def test_what_no_model_consists_of_is_refused(name: str) -> None:
    assert not _trusted(name, ())
    assert _trusted(name, (name,))


def test_an_archive_opens_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    content = calls("sklearn.callback._transport", "Listener", ["127.0.0.1", port])
    with pytest.raises(InputError, match="nobody vouches for"):
        load(content, about(content), LogisticRegression())


def test_an_archive_calls_no_class_of_an_allowed_package() -> None:
    content = calls("lightgbm.sklearn", "LGBMClassifier", "gbdt", 31)
    with pytest.raises(InputError, match="lightgbm.sklearn.LGBMClassifier, which nobody vouches for"):
        load(content, about(content), LogisticRegression())


def test_a_model_of_another_class_is_not_taken() -> None:
    packed = pack(Ridge().fit(X, Y))
    with pytest.raises(StudyError, match="the stored model is a Ridge, and no LogisticRegression"):
        load(packed.content, about(packed.content), LogisticRegression())
