"""A stored model is somebody else's file: it may hold what models consist of, and calls nothing."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import zipfile
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer

from producer.models.loading import load
from producer.models.model_shape import Own
from producer.models.trusted_types import trusted_types
from warren.errors import InputError, StudyError
from worker.training.model_archive import LINKED
from worker.training.models import pack

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


def text(value: Any) -> dict[str, Any]:
    """What JSON holds."""
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def made(name: str, loader: str, **more: Any) -> dict[str, Any]:
    """A node that makes something of a name."""
    module, _, last = name.rpartition(".")
    return {"__class__": last, "__module__": module, "__loader__": loader, **more}


def listed(*items: Any) -> dict[str, Any]:
    return made("builtins.list", "ListNode", content=[*items])


def tupled(*items: Any) -> dict[str, Any]:
    return made("builtins.tuple", "TupleNode", content=[*items])


def holding(value: dict[str, Any]) -> dict[str, Any]:
    """An estimator with an attribute."""
    types = listed(*[made("builtins.str", "TypeNode")] * 2)
    content = {"held": value, "_sklearn_version": text(sklearn.__version__)}
    attributes = made("builtins.dict", "DictNode", key_types=types, content=content)
    return made("sklearn.linear_model._ridge.Ridge", "ObjectNode", content=attributes)


def read(content: bytes) -> Any:
    return load(content, about(content), Ridge())


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


SPLITTER = "sklearn.model_selection._split.KFold"
NUMBERS = made("numpy.ndarray", "NdArrayNode", type="json", content=[text("x")] * 4, shape=tupled(text(4)))
ATTACKS: dict[str, dict[str, Any]] = {
    "a function of a class that is imported somewhere": made(
        "sklearn.datasets._openml.TemporaryDirectory", "ObjectNode"
    ),
    "a pool of threads": made("xgboost.sklearn.ThreadPoolExecutor", "ObjectNode"),
    "a path": made("lightgbm.basic.Path", "ObjectNode"),
    "what reads files and frees memory": made("xgboost.core.DMatrix", "ObjectNode"),
    "a tracker": made("xgboost.tracker.RabitTracker", "ObjectNode"),
    "a module that runs when it is imported": made("numpy.f2py.__main__.main", "FunctionNode"),
    "a function that reads files": made("numpy.load", "FunctionNode"),
    "a function of Python": made("builtins.eval", "FunctionNode"),
    "a command": made("os.system", "FunctionNode"),
    "a function that only looks like a metric": made("sklearn.metrics._plot.confusion_matrix.plt", "FunctionNode"),
    "a class of a later version": made("sklearn.of_a_later_version.Model", "ObjectNode"),
    "a type that is called elsewhere": made("subprocess.Popen", "TypeNode"),
    "a list that is a function": made("sklearn.utils.validation.check_array", "ListNode", content=[text("x")]),
    "a list that is a class": made("sklearn.pipeline.Pipeline", "ListNode", content=[text("x")]),
    "a set that is a class": made(SPLITTER, "SetNode", content=[text(3)]),
    "a tuple that is a class": made("sklearn.utils._bunch.Bunch", "TupleNode", content=[]),
    "a dict that is a class": made(SPLITTER, "DictNode", key_types=listed(), content={}),
    "an array that is a class": made(SPLITTER, "NdArrayNode", type="json", content=[], shape=tupled(text(0))),
    "an array in a file of its own": made(
        "numpy.memmap", "NdArrayNode", type="json", content=[], shape=tupled(text(0))
    ),
    "a loss that is a class": made(SPLITTER, "LossNode", __reduce__={"args": tupled(text(3))}, content=tupled()),
    "a random state that is a class": made(SPLITTER, "RandomStateNode", content=tupled()),
    "a class that is called": made(SPLITTER, "ConstructorFromReduceNode", content=tupled(text(3))),
    "a file that is opened": made("numpy.lib.npyio.NpzFile", "ConstructorFromReduceNode", content=tupled(text("x"))),
    "keys that are calls": made(
        "builtins.dict",
        "DictNode",
        key_types=listed(made("sklearn.utils.validation.check_array", "FunctionNode")),
        content={"x": text(1)},
    ),
    "keys of a class": made(
        "builtins.dict", "DictNode", key_types=listed(made("builtins.object", "TypeNode")), content={"x": text(1)}
    ),
    "a factory that is a function": made(
        "collections.defaultdict",
        "DefaultDictNode",
        content={
            "main": made("builtins.dict", "DictNode", key_types=listed(), content={}),
            "default_factory": made("sklearn.utils.validation.check_array", "FunctionNode"),
        },
    ),
    "a function with arguments": made(
        "functools.partial",
        "PartialNode",
        content={
            "func": made("numpy.clip", "FunctionNode"),
            "args": tupled(),
            "kwds": made("builtins.dict", "DictNode", key_types=listed(), content={}),
            "namespace": text(None),
        },
    ),
    "a method": made(SPLITTER, "MethodNode", content={"func": "split", "obj": made(SPLITTER, "ObjectNode")}),
    "an operator": made("operator.attrgetter", "OperatorFuncNode", attrs=tupled(text("__class__"))),
    "numbers that are addresses": made(
        "numpy.ndarray",
        "ConstructorFromReduceNode",
        content=tupled(tupled(text(1)), text("|O"), NUMBERS, text(0), tupled(text(8))),
    ),
    "addresses that are numbers": made(
        "numpy.ndarray",
        "ConstructorFromReduceNode",
        content=tupled(tupled(text(1)), text("<f8"), NUMBERS, text(0), tupled(text(8))),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_model_consists_of_is_refused(attack: str) -> None:
    with pytest.raises(InputError, match="which is not trusted"):
        read(archive(holding(ATTACKS[attack])))


def test_a_class_of_ones_own_is_taken_where_it_is_named() -> None:
    content = archive(holding(made("fractions.Fraction", "ObjectNode")))
    with pytest.raises(InputError, match=r"fractions\.Fraction, which is not trusted"):
        read(content)
    assert "fractions.Fraction" in trusted_types(content, Own(Ridge()).classes, ("fractions.Fraction",))


def test_a_node_that_stands_in_for_another_is_looked_at() -> None:
    """skops makes one object of two nodes with one number: the first, whatever the second says."""
    function = made("sklearn.utils.validation.check_array", "FunctionNode") | {"__id__": 7}
    types = listed(made("builtins.str", "TypeNode") | {"__id__": 7})
    hidden = made("builtins.dict", "DictNode", key_types=types, content={"x": text(1)})
    with pytest.raises(InputError, match="which is not trusted"):
        read(archive(holding(listed(function, hidden))))


@pytest.mark.parametrize(
    "params", [{"memory": "/tmp/pickles"}, {"input": "filename"}], ids=["a folder of pickles", "files to read"]
)
def test_a_model_has_no_parameter_that_no_message_could_set(params: dict[str, Any]) -> None:
    cls = Pipeline if "memory" in params else CountVectorizer
    steps = {"steps": [("clf", Ridge())]} if cls is Pipeline else {}
    packed = pack(cls(**steps, **params))
    with pytest.raises(StudyError, match=f"not the study's: .*{next(iter(params))}=...* is "):
        load(packed.content, about(packed.content), cls(**steps))


def test_an_archive_that_unpacks_to_much_more_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made_of:
        made_of.writestr("schema.json", json.dumps(holding(text("0" * 10**6)) | {"protocol": 2}))
    with pytest.raises(StudyError, match="is compressed"):
        read(content.getvalue())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "can't be read: BadZipFile"),
        (archive({"protocol": 2}), "can't be read: KeyError"),
        (archive(holding(made("a.b", "NoSuchNode"))), "can't be read: TypeError"),
        (archive(holding(made("sklearn.neighbors._kd_tree.KDTree64", "ObjectNode", content=text(3)))), "can't be read"),
    ],
    ids=["no archive", "nothing in it", "a later skops", "a state of another kind"],
)
def test_an_archive_that_is_none_is_called_that(content: bytes, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read(content)


def test_an_archive_of_another_protocol_is_not_read() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made_of:
        made_of.writestr("schema.json", json.dumps(holding(text(1)) | {"protocol": 0}))
    with pytest.raises(InputError, match="protocol 0, but this version reads 2"):
        read(content.getvalue())


def test_objects_that_refer_to_each_other_are_those_of_scikit_learn() -> None:
    birch = Birch(n_clusters=2).fit(X)
    vars(birch).update({LINKED: {"roots": {}, "rows": [{"class": "Popen", "values": {}, "links": {}}]}})
    content = skops.io.dumps(holding_as(birch))
    with pytest.raises(StudyError, match="can't be rebuilt: KeyError"):
        load(content, about(content), Ridge())


def holding_as(birch: Any) -> Any:
    """An estimator of another class with the attributes of this one."""
    ridge = Ridge()
    vars(ridge).update({LINKED: vars(birch)[LINKED]})
    return ridge


def test_an_archive_opens_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    content = calls("sklearn.callback._transport", "Listener", ["127.0.0.1", port])
    with pytest.raises(InputError, match="is not trusted"):
        load(content, about(content), LogisticRegression())


def test_an_archive_calls_no_class_of_an_allowed_package() -> None:
    content = calls("lightgbm.sklearn", "LGBMClassifier", "gbdt", 31)
    with pytest.raises(InputError, match="lightgbm.sklearn.LGBMClassifier, which is not trusted"):
        load(content, about(content), LogisticRegression())


def test_a_tree_that_leads_out_of_itself_is_refused() -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    boosted = HistGradientBoostingClassifier(max_iter=2).fit(X, Y)
    for estimator, change in (
        (forest, lambda one: one.estimators_[1].tree_.children_left.__setitem__(0, 10**6)),
        (forest, lambda one: one.estimators_[1].tree_.children_right.__setitem__(0, 0)),
        (forest, lambda one: one.estimators_[1].tree_.feature.__setitem__(0, 3)),
        (forest, lambda one: setattr(one, "n_features_in_", 2)),
        (boosted, lambda one: one._predictors[0][0].nodes["left"].__setitem__(0, 10**6)),
        (boosted, lambda one: one._predictors[0][0].nodes["feature_idx"].__setitem__(0, 3)),
        (boosted, lambda one: one._predictors[0].append("no tree")),
    ):
        changed = deepcopy(estimator)
        change(changed)
        packed = pack(changed)
        with pytest.raises(StudyError, match="are out of bounds|holds values that no fit produces"):
            load(packed.content, about(packed.content), clone(estimator))


def test_a_model_of_another_class_is_not_taken() -> None:
    packed = pack(Ridge().fit(X, Y))
    with pytest.raises(InputError, match=r"sklearn\.linear_model\._ridge\.Ridge, which is not trusted"):
        load(packed.content, about(packed.content), LogisticRegression())
