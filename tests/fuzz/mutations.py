"""Good messages made bad, at random from a seed: bytes are flipped, and JSON is taken apart and
put together."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, TypeAlias

from hostile import CASES, good

Json: TypeAlias = Any

_LGB = {
    "__estimator__": "lightgbm.LGBMClassifier",
    "params": {"num_leaves": 7, "metric": "auc", "class_weight": {"a": 1.0}},
}
_CAT = {
    "__estimator__": "catboost.CatBoostClassifier",
    "params": {"depth": 3, "class_weights": {"__dict__": [[0, 1.0]]}},
}
_XGB = {
    "__estimator__": "xgboost.XGBClassifier",
    "params": {"missing": {"__float__": "nan"}, "eval_metric": ["auc", "error"]},
}
_PIPELINE = {
    "__estimator__": "sklearn.pipeline.Pipeline",
    "params": {"steps": [{"__tuple__": ["scale", "passthrough"]}, {"__tuple__": ["clf", _CAT]}]},
}
_COLUMNS = {
    "__estimator__": "sklearn.compose.ColumnTransformer",
    "params": {
        "transformers": [
            {
                "__tuple__": [
                    "log",
                    {
                        "__estimator__": "sklearn.preprocessing.FunctionTransformer",
                        "params": {"func": {"__function__": "numpy.log1p"}},
                        "output": "pandas",
                    },
                    {"__selector__": {"dtype_include": [{"__type__": "numpy.number"}, "str"], "pattern": "^a"}},
                ]
            },
            {
                "__tuple__": [
                    "words",
                    {
                        "__estimator__": "sklearn.preprocessing.OneHotEncoder",
                        "params": {"dtype": {"__dtype__": "float32"}},
                    },
                    {"__slice__": [0, 3, None]},
                ]
            },
            {"__tuple__": ["some", "passthrough", {"__array__": ["int64", [1, 2]]}]},
            {"__tuple__": ["others", "drop", {"__index__": ["a", "b"]}]},
        ]
    },
}
_PREPARED = {
    "__estimator__": "sklearn.pipeline.Pipeline",
    "params": {"steps": [{"__tuple__": ["prepare", _COLUMNS]}, {"__tuple__": ["clf", _XGB]}]},
}


_OBJECTS = {
    "__estimator__": "sklearn.model_selection.RandomizedSearchCV",
    "params": {
        "estimator": _PIPELINE,
        "param_distributions": [
            {"clf__depth": {"__distribution__": ["randint", [1, 9], {}]}, "scale": ["passthrough", None]},
            {"clf": [_LGB], "clf__num_leaves": [3, 7], "clf__metric": {"__set__": ["auc", "l2"]}},
        ],
        "cv": {"__splitter__": ["KFold", {"n_splits": 3, "shuffle": True, "random_state": 0}]},
        "scoring": {
            "a": {
                "__scorer__": {
                    "function": "sklearn.metrics.fbeta_score",
                    "greater_is_better": True,
                    "response_method": ["predict"],
                    "kwargs": {"beta": 2},
                }
            },
            "b": {"__scorer__": "roc_auc"},
        },
        "random_state": {"__random_state__": ["AQ" + "A" * 3326, 624, 0, 0.0]},
    },
}


def _message(estimator: Json, *params: Json, **changes: Any) -> Json:
    made = good(**changes)
    made["objective"]["estimator"] = estimator
    made["trials"] = [{"number": number, "params": one, "estimated_seconds": 0.5} for number, one in enumerate(params)]
    return made


def _corpus() -> list[Json]:
    several = _message(
        _LGB, {"num_leaves": 3}, {"num_leaves": 7}, {"num_leaves": 15}, trial_timeout=60.0, share_fits=False
    )
    several["objective"] |= {
        "scorers": {"auc": "roc_auc", "loss": "neg_log_loss"},
        "refit": "auc",
        "return_train_score": True,
    }
    own = _message(None, {"max_depth": 3}, {"eta": 0.1})
    for trial, estimator in zip(own["trials"], (_CAT, _XGB), strict=True):
        trial["estimator"] = estimator
    return [
        good(),
        several,
        own,
        _message(_XGB, {"eta": 0.1, "monotone_constraints": {"__tuple__": [1, 0]}}),
        _message(_PIPELINE, {"clf__depth": 3}, {"clf": _LGB, "clf__num_leaves": 7}, {"scale": None}),
        _message(_PREPARED, {"clf__n_estimators": 5}, {"clf": _PIPELINE, "prepare": "passthrough"}),
        _message(
            _OBJECTS,
            {
                "cv": {"__splitter__": ["TimeSeriesSplit", {}]},
                "estimator__scale": {"__index__": {"labels": [1], "name": "a"}},
            },
            {"estimator": _PREPARED, "estimator__clf": _LGB, "estimator__clf__num_leaves": 7},
            {"estimator__clf": _XGB, "param_distributions": {"clf__eta": [0.1]}},
        ),
        _message({"__estimator__": "own.Estimator", "params": {"data": "x", "layers": [[1, 2], [3]]}}, {"memory": "y"}),
    ]


CORPUS = _corpus()

# What programs trip over, as values and as keys.
VALUES: tuple[Callable[[], Json], ...] = tuple(
    partial(copy.deepcopy, value)
    for value in (
        *(
            None,
            True,
            False,
            0,
            -1,
            1,
            2,
            2**31,
            2**63 - 1,
            2**63,
            -(2**63),
            2**64,
            10**30,
            0.5,
            -0.0,
            1e-320,
            1e308,
            math.nan,
        ),
        *(
            math.inf,
            "",
            "NaN",
            "inf",
            "raise",
            "1",
            "\x00",
            "a\x00b",
            "$gt",
            "$where",
            "a.b",
            "é\u2028\u202e",
            "\U0001f600",
        ),
        *(
            "../../etc/passwd",
            "/dev/zero",
            "__import__('os')",
            "os.system",
            "sklearn.svm.SVC",
            "x y",
            "binary fs=/etc/passwd",
        ),
        *(
            "x" * 250,
            "x" * 100_000,
            [],
            {},
            [[]],
            {"$gt": ""},
            {"a": {"b": {"c": 1}}},
            [None] * 300,
            ["x", {"y": [1, 2]}],
        ),
        *(
            {"__float__": "nan"},
            {"__float__": 1},
            {"__tuple__": [1, "a"]},
            {"__tuple__": 1},
            {"__dict__": [[0, 1], ["a.b", 2]]},
        ),
        *(
            {"__dict__": [[[0], 1]]},
            {"__dict__": [[{"__tuple__": [{"a": 1}]}, 1]]},
            {"__dict__": [1]},
            {"__reduce__": []},
        ),
        *(
            {"__function__": "numpy.log1p"},
            {"__function__": "numpy.load"},
            {"__function__": 1},
            {"__array__": ["float64", [0.5, {"__float__": "nan"}]]},
            {"__array__": ["object", [[]]]},
            {"__index__": [{}]},
            {"__slice__": [{}, None, "a"]},
            {"__dtype__": "int8"},
            {"__type__": "float"},
            {"__selector__": {"dtype_include": {"__type__": "object"}}},
            {"__selector__": 1},
            {"__set__": [1, {"__tuple__": ["a"]}]},
            {"__frozenset__": [[]]},
            {"__splitter__": ["KFold", {"n_splits": 3}]},
            {"__splitter__": ["KFold", {"n_splits": {}}]},
            {"__scorer__": "accuracy"},
            {"__scorer__": {"function": "os.system", "kwargs": {}}},
            {"__distribution__": ["norm", [], {"loc": 1.5}]},
            {"__distribution__": ["os", [], {}]},
            {"__random_state__": ["", 0, 0, 0.0]},
            {"__index__": {"labels": ["a"], "name": "b"}},
            {"__estimator__": "sklearn.svm.SVC", "params": {}, "output": "pandas"},
            {"__estimator__": "sklearn.gaussian_process.kernels.RBF", "params": {}},
        ),
        *({"__estimator__": "os.system", "params": {}}, {"__estimator__": "sklearn.svm.SVC", "params": {"C": 2}}),
        *({"__estimator__": 1, "params": {}}, {"__estimator__": "sklearn.svm.SVC"}, _LGB, _PIPELINE),
    )
)
KEYS = (
    *(
        "",
        "a",
        "$gt",
        "a.b",
        "a\x00",
        "_a",
        "__class__",
        "__estimator__",
        "__tuple__",
        "__dict__",
        "__float__",
        "params",
    ),
    *(
        "__function__",
        "__array__",
        "__index__",
        "__slice__",
        "__dtype__",
        "__type__",
        "__selector__",
        "output",
        "steps",
    ),
    *(
        "number",
        "estimator",
        "study_id",
        "schema_version",
        "trials",
        "objective",
        "code",
        "x" * 300,
        "é",
        "clf__depth",
        "clf",
    ),
    *(
        "train_dir",
        "fs",
        "memory",
        "callbacks",
        "clf__train_dir",
        "kwargs",
        "n_jobs",
        "clf___x",
        "a__b__c__d",
        "max_depth",
    ),
)


def mutated(random: Random, corpus: Sequence[Json] = CORPUS) -> bytes:
    """Return a body that was good once: a message of the corpus with something done to it,
    or nothing."""
    if random.random() < 0.02:  # a case that somebody thought of, with more done to it
        return _bytes(random, CASES[random.choice(_SMALL_CASES)].body(good()))
    message = copy.deepcopy(random.choice(corpus))
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        message = _structure(random, message)
    body = json.dumps(message).encode()
    kind = random.random()
    if kind < 0.3:
        for _ in range(random.choice((1, 1, 2, 8))):
            body = _bytes(random, body)
    elif kind < 0.33:
        body = _deep(random, body)
    elif kind < 0.35:
        body = random.randbytes(random.randrange(400))
    return body


# Of the cases, those that don't take megabytes.
_SMALL_CASES = [name for name in CASES if name not in {"huge", "many values", "a huge parameter"}]


def _places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the values in a message are."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value[:20]):
            yield from _places(item, (*path, position))


def _at(value: Json, path: tuple[Any, ...]) -> Json:
    for part in path:
        value = value[part]
    return value


def _structure(random: Random, message: Json) -> Json:
    """Change one place of a message."""
    path = random.choice(list(_places(message)))
    what = random.randrange(8)
    if not path:  # the whole message
        return message if what else random.choice(VALUES)()
    outer, key = _at(message, path[:-1]), path[-1]
    if what <= 2:
        outer[key] = random.choice(VALUES)()
    elif what == 3:
        del outer[key]
    elif what == 4:
        _rename(random, outer, key)
    elif what == 5:
        outer[key] = copy.deepcopy(_at(message, random.choice(list(_places(message)))))
    elif what == 6:
        _add(random, outer[key])
    else:
        outer[key] = (
            {random.choice(KEYS): outer[key]} if random.random() < 0.5 else [outer[key]] * random.choice((1, 2, 50))
        )
    return message


def _rename(random: Random, outer: Json, key: Any) -> None:
    if isinstance(outer, dict):
        outer[random.choice(KEYS)] = outer.pop(key)
    else:
        random.shuffle(outer)


def _add(random: Random, value: Json) -> None:
    if isinstance(value, dict):
        value[random.choice(KEYS)] = random.choice(VALUES)()
    elif isinstance(value, list):
        value.insert(random.randrange(len(value) + 1), random.choice(VALUES)())


def _bytes(random: Random, body: bytes) -> bytes:
    """Change some bytes."""
    start = random.randrange(len(body) + 1)
    end = min(len(body), start + random.choice((1, 1, 4, 40)))
    match random.randrange(7):
        case 0:
            return body[:start] + bytes(byte ^ (1 << random.randrange(8)) for byte in body[start:end]) + body[end:]
        case 1:
            return body[:start] + body[end:]
        case 2:
            return body[:start] + random.randbytes(end - start) + body[start:]
        case 3:
            return body[:end] + body[start:]
        case 4:
            return body[:start]
        case 5:
            return (
                body[:start]
                + random.choice((b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\ud800", b"\x00"))
                + body[end:]
            )
    other = json.dumps(random.choice(CORPUS)).encode()
    return body[:start] + other[random.randrange(len(other)) :]


def _deep(random: Random, body: bytes) -> bytes:
    """Put brackets around a value, more than any reader likes."""
    levels = random.choice((5, 30, 33, 60, 100, 190, 250, 5000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"__tuple__":[', b"]}")))
    at = random.randrange(len(body) + 1)
    before, colon, after = body[:at].rpartition(b": ")
    value, comma, rest = (after + body[at:]).partition(b",")
    return before + colon + opening * levels + value + closing * levels + comma + rest
