"""Messages that no producer sends, by name: each with what is wrong and the reason that a worker gives.

A case turns a good message, as a dict, into a bad one: a dict again, or the bytes of a body.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
# Where the cases point: nothing may ever be there.
NOWHERE = "/tmp/warren-hostile"
TREE = {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}}


def good(**changes: Any) -> Message:
    """Return a message that a producer could have sent, of one trial of a tree, with some fields changed.

    ``objective__refit`` reaches inside; ``...`` takes a field away.
    """
    made: Message = {
        "schema_version": 1,
        "study_id": "study-0123456789ab",
        "generation": 1,
        "index": 0,
        "objective": {
            "estimator": copy.deepcopy(TREE),
            "dataset": "a" * 64,
            "splits": "b" * 64,
            "n_splits": 3,
            "scorers": {"score": None},
            "refit": "score",
            "error_score": "NaN",
            "return_train_score": False,
        },
        "trials": [{"number": 0, "params": {"max_depth": 2}}],
    }
    for name, value in changes.items():
        outer, _, inner = name.rpartition("__")
        place = made[outer] if outer else made
        if value is ...:
            del place[inner]
        else:
            place[inner] = value
    return made


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is done to a message, and a pattern of the reason.

    ``decoder`` says whether the decoder refuses it; other things only a worker can know, which has the classes.
    """

    change: Callable[[Message], Message | bytes]
    reason: str
    decoder: bool = True

    def body(self, message: Message) -> bytes:
        changed = self.change(copy.deepcopy(message))
        return changed if isinstance(changed, bytes) else json.dumps(changed).encode()


CASES: dict[str, Case] = {}


def case(name: str, reason: str, change: Callable[[Message], Message | bytes], *, decoder: bool = True) -> None:
    assert name not in CASES
    CASES[name] = Case(change=change, reason=reason, decoder=decoder)


def _with(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | fields


def _objective(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | {"objective": message["objective"] | fields}


def _trial(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | {"trials": [message["trials"][0] | fields]}


def _estimator(name: str, **params: Any) -> Callable[[Message], Message]:
    return _objective(estimator={"__estimator__": name, "params": params})


def _params(name: str, **params: Any) -> Callable[[Message], Message]:
    """Give a trial's parameters to an estimator."""
    return lambda message: _trial(params=params)(_estimator(name)(message))


def _nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def _raw(text: str) -> Callable[[Message], bytes]:
    """Write text where the trial's ``max_depth`` has its value."""
    return lambda message: json.dumps(message).encode().replace(b'"max_depth": 2', b'"max_depth": ' + text.encode())


# ----------------------------------------------------------------- bodies that are no messages
case("no JSON", "^body: Invalid JSON", lambda _: b"not json")
case("nothing", "^body: Invalid JSON", lambda _: b"")
case("no UTF-8", "^body: Invalid JSON", lambda _: b'{"study_id": "\xff\xfe"}')
case("UTF-16", "^body: Invalid JSON", lambda message: json.dumps(message).encode("utf-16"))
case("cut short", "^body: Invalid JSON", lambda message: json.dumps(message).encode()[:-20])
case("something behind it", "^body: Invalid JSON: trailing", lambda message: json.dumps(message).encode() + b"{}")
case("no object", "^body: Input should be an object", lambda _: b'["study"]')
case("deep lists", "recursion limit", lambda _: b"[" * 10_000)
case("deep objects", "recursion limit", lambda _: b'{"objective":' * 10_000)
case("a pickle", "^body: Invalid JSON", lambda _: b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.")
case("huge", "^a message of 15 MiB: at most 15$", lambda message: json.dumps(message).encode() + b" " * (15 * 2**20))
case("many values", "^a message of 2,500,0.. values", _raw("[" + "[]," * 1_250_000 + "[]]"))
case("a lone surrogate", "^body: Invalid JSON", _raw('"\\ud800"'))
case("a number of 5,000 digits", "number out of range", _raw("9" * 5000))
case("a number of 65 bits", r"max_depth.* = 1844674407370955161\d: integers must fit in 64 bits", _raw(str(2**64)))
case("NaN", r"max_depth'\] = nan: JSON has no such number", _raw("NaN"))
case("an exponent that overflows", "= inf: JSON has no such number", _raw("1e999"))
case("deep parameters", "nested deeper than 32 levels", _raw(json.dumps(_nested(1, 100))))

# --------------------------------------------------------------------------- fields
case("another version", "^schema_version: Input should be 1", _with(schema_version=2))
case("a version in words", "^schema_version", _with(schema_version="one"))
case("an unknown field", r"^'priority\\n\$': Extra inputs", _with(**{"priority\n$": 1}))
case("a study that is a query", "^study_id: Input should be a valid string", _with(study_id={"$gt": ""}))
for text in ("$where", "a.b", "a:1", "a\x00", "a\n", "A", "", "a" * 201, "../a"):
    case(f"a study called {text[:9]!r}", "^study_id: String should", _with(study_id=text))
case("generation 0", "^generation", _with(generation=0))
case("a generation of 65 bits", "^generation", _with(generation=2**64))
case("an index of 65 bits", "^index", _with(index=2**64))
case("no trials", "^trials", _with(trials=[]))
case(
    "a trial that comes twice", r"^trials\.1\.number=0 is in the chunk twice", lambda m: m | {"trials": m["trials"] * 2}
)
case("a negative number", r"^trials\.0\.number", _trial(number=-1))
case("a number that MongoDB can't hold", r"^trials\.0\.number", _trial(number=2**63))
case("an estimate that is NaN", r"^trials\.0\.estimated_seconds", _trial(estimated_seconds="NaN"))
case("an estimate for ever", r"^trials\.0\.estimated_seconds", _trial(estimated_seconds=1e300))
case("no time limit at all", "^trial_timeout", _with(trial_timeout="Infinity"))
case("no estimator", "^trials.0.estimator is missing", _objective(estimator=None))
case("an estimator without parameters", r"^objective\.estimator = .* is no estimator", _objective(estimator={"a": 1}))
case(
    "an estimator whose parameters are a list",
    r"^objective\.estimator = .* is no estimator",
    _objective(estimator={"__estimator__": TREE["__estimator__"], "params": [1]}),
)
case("a billion folds", "^1,000,000,000 splits", _objective(n_splits=10**9))
case("a metric that is a path", "^objective.scorers", _objective(scorers={"a.b": None}, refit="a.b"))
case("a metric that is an operator", "^objective.scorers", _objective(scorers={"$set": None}, refit="$set"))
case("a scorer that is an expression", "^objective.scorers.score", _objective(scorers={"score": "__import__('os')"}))


def _metric(function: str = "sklearn.metrics.fbeta_score", **fields: Any) -> Callable[[Message], Message]:
    return _objective(scorers={"score": {"function": function} | fields})


case("a scorer that is a list", "^objective.scorers.score", _objective(scorers={"score": ["accuracy"]}))
case(
    "a scorer without a function",
    "^objective.scorers.score.*function: Field required",
    _objective(scorers={"score": {}}),
)
case("a scorer with a field more", "^objective.scorers.score.*score_func: Extra", _metric(score_func="os.system"))
for text in (
    "system",
    "sklearn.metrics.",
    "sklearn..metrics.f1_score",
    "sklearn.metrics.f1_score()",
    "a.b\n",
    "a." * 101 + "b",
):
    case(f"a metric called {text[:26]!r}", "^objective.scorers.score.*function: String", _metric(text))
for text in ("fit", "__class__", "predict; import os"):
    case(f"a metric of the response {text!r}", "^objective.scorers.*response_method", _metric(response_method=text))
case("a metric of no response", "^objective.scorers.*response_method", _metric(response_method=[]))
case("a sign in words", "^objective.scorers.*greater_is_better", _metric(greater_is_better="no"))
case("keywords that are a list", "^objective.scorers.*kwargs", _metric(kwargs=[1]))
for text in ("__class__", "_hidden", "a.b", "a b", "", "score_func", "response_method", "greater_is_better"):
    case(f"a metric's keyword {text!r}", r"^objective\.scorers\['score'\]\.kwargs", _metric(kwargs={text: 1}))
case("an estimator in a metric", "no estimator$", _metric(kwargs={"beta": [{"a": TREE}]}))
case("a class in a metric", "is no estimator", _metric(kwargs={"beta": {"__estimator__": "os.system"}}))
case("a misused key in a metric", "reserved key '__reduce__'", _metric(kwargs={"beta": {"__reduce__": ["os.system"]}}))
case("a deep metric", "nested deeper than 32 levels", _metric(kwargs={"beta": _nested(1, 100)}))
for name, reason in {
    "os.system": "is not on the allow-list",
    "builtins.eval": "is not on the allow-list",
    "sklearn.utils.shuffle": "is not on the allow-list",
    "sklearn.metrics.cluster.rand_score": "is not on the allow-list",
    "sklearn.metrics.pairwise": "is no public function of sklearn.metrics",
    "sklearn.metrics.ConfusionMatrixDisplay": "is no public function of sklearn.metrics",
    "sklearn.metrics.no_such_metric": "is no public function of sklearn.metrics",
    "sklearn.metrics.make_scorer": "compares no true with predicted values",
    "sklearn.metrics.pairwise_kernels": "compares no true with predicted values",
    "sklearn.metrics.get_scorer_names": "compares no true with predicted values",
}.items():
    case(f"the metric {name}", reason, _metric(name), decoder=False)
for name in ("y_pred", "y_true", "no_such_keyword"):
    case(f"a metric that is given {name}", "takes no keyword", _metric(kwargs={name: 1}), decoder=False)
case("a best metric that is none", "^objective.refit='other' is none", _objective(refit="other"))
case("data by a path", "^objective.dataset", _objective(dataset="../../etc/passwd"))
for text in ("a.b", "$set", "a\x00b", "_a", "a__", "a" * 201, "clf___depth"):
    case(f"a parameter called {text[:12]!r}", r"can't name a parameter", _trial(params={text: 1}))
case(
    "a misused key",
    "misuses the reserved key '__reduce__'",
    _trial(params={"max_depth": {"__reduce__": ["os.system"]}}),
)
case("a key with NUL", "holds a NUL", _trial(params={"class_weight": {"a\x00": 1.0}}))
case("a key that is a list", "can't be the key", _trial(params={"class_weight": {"__dict__": [[[1], 2]]}}))
case("a huge parameter", "bytes of parameters", _trial(params={"max_depth": "x" * 2**21}))

# ------------------------------------------------------------------- names of classes
for name in (
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "numpy.load",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.tests.test_base.MyEstimator",
    "sklearn.__builtins__.eval",
    "worker.runner.ChunkRunner",
):
    case(f"the class {name}", "is not on the allow-list", _estimator(name), decoder=False)
case("a module as a class", "is no estimator class", _estimator("sklearn.utils.sys"), decoder=False)
case("a function as a class", "is no estimator class", _estimator("sklearn.datasets.load_files"), decoder=False)
case(
    "a class in a parameter",
    "'os.system' is not on the allow-list",
    _trial(params={"splitter": {"__estimator__": "os.system", "params": {"command": "true"}}}),
    decoder=False,
)
case("a scorer that is not there", "no_such_scorer", _objective(scorers={"score": "no_such_scorer"}), decoder=False)
case("data that is not there", "was the study's data deleted", _objective(dataset="0" * 64), decoder=False)
case("folds that are not there", "was the study's data deleted", _objective(splits="0" * 64), decoder=False)

# ------------------------------------------------------------ parameters that reach files or code
XGB, LGB, CAT = "xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier"
PIPELINE = "sklearn.pipeline.Pipeline"
TEXT = "sklearn.feature_extraction.text.CountVectorizer"
for library, params in {
    XGB: {
        "xgb_model": f"{NOWHERE}-m",
        "callbacks": ["x"],
        "process_type": "update",
        "kwargs": {"eta": 1},
        "model_dir": NOWHERE,
    },
    LGB: {
        "input_model": f"{NOWHERE}-m",
        "model_in": f"{NOWHERE}-m",
        "output_model": f"{NOWHERE}-m",
        "forcedsplits_filename": "/etc/passwd",
        "fs": "/etc/passwd",
        "forcedbins_filename": "/etc/passwd",
        "machine_list_filename": "/etc/hosts",
        "machines": "10.0.0.1:80",
        "config": "/etc/passwd",
        "data": "/etc/passwd",
        "valid": "/etc/passwd",
        "save_binary": True,
        "snapshot_freq": 1,
        "parser_config_file": "/etc/passwd",
        "callbacks": ["x"],
        "init_model": f"{NOWHERE}-m",
        "some_later_filename": "/etc/passwd",
    },
    CAT: {
        "train_dir": NOWHERE,
        "snapshot_file": f"{NOWHERE}-s",
        "save_snapshot": True,
        "input_borders": "/etc/passwd",
        "output_borders": f"{NOWHERE}-b",
        "allow_writing_files": True,
        "roc_file": f"{NOWHERE}-r",
        "plot_file": f"{NOWHERE}-p",
        "result_model_file": f"{NOWHERE}-m",
        "file_with_hosts": "/etc/hosts",
        "node_port": 80,
        "callback": "os.system",
        "params": {"train_dir": NOWHERE},
        "text_processing": {"dictionaries": [{"some_path": "/etc/passwd"}]},
    },
    PIPELINE: {"memory": NOWHERE},
    TEXT: {"input": "filename", "tokenizer": "os.system", "preprocessor": "os.system"},
    "sklearn.preprocessing.FunctionTransformer": {"func": "os.system", "inverse_func": "os.system"},
    "sklearn.model_selection.GridSearchCV": {
        "pre_dispatch": "__import__('os')",
        "param_grid": {"train_dir": [NOWHERE]},
    },
    "sklearn.feature_selection.RFE": {"importance_getter": "__class__.__init__.__globals__"},
    "sklearn.compose.ColumnTransformer": {"verbose_feature_names_out": "{feature_name.__class__}"},
}.items():
    short = library.rpartition(".")[2]
    for parameter, value in params.items():
        why = rf"{parameter}=\.\.\.\)|{parameter}'\]"
        case(f"{short}({parameter}=...)", why, _estimator(library, **{parameter: value}))
        case(f"{short}, a trial's {parameter}", why, _params(library, **{parameter: value}))


def _steps(*steps: tuple[str, Message]) -> Message:
    return {"__estimator__": PIPELINE, "params": {"steps": [{"__tuple__": list(step)} for step in steps]}}


INNER = _steps(("clf", {"__estimator__": CAT, "params": {}}))
case(
    "a folder for CatBoost inside a pipeline",
    "'train_dir' names a file or folder",
    _objective(estimator=_steps(("clf", {"__estimator__": CAT, "params": {"train_dir": NOWHERE}}))),
)
case(
    "a trial's folder for CatBoost inside a pipeline",
    "'train_dir' names a file or folder",
    lambda m: _trial(params={"clf__train_dir": NOWHERE})(_objective(estimator=INNER)(m)),
)
case(
    "a file for an estimator that a trial puts into a pipeline",
    "'fs' names a file or folder",
    lambda m: _trial(params={"clf": {"__estimator__": LGB, "params": {}}, "clf__fs": "/etc/passwd"})(
        _objective(estimator=INNER)(m)
    ),
)
case(
    "a file for a step that is not shown",
    "'forcedsplits_filename' names a file or folder",
    _trial(params={"estimator__forcedsplits_filename": "/etc/passwd"}),
)
case(
    "a second parameter behind a space", "LightGBM reads what follows", _params(LGB, objective="binary fs=/etc/passwd")
)
case("a second parameter behind a tab", "LightGBM reads what follows", _estimator(LGB, metric=["auc\tfs=/etc/passwd"]))
case("a second parameter in a dict", "takes numbers, text and lists", _params(LGB, metric=[{"a": "b fs=/etc/passwd"}]))
case(
    "a second parameter in a tuple",
    "takes numbers, text and lists",
    _params(LGB, metric=[{"__tuple__": ["a", "fs=/etc/passwd", "b"]}]),
)
case("a second parameter in a list", "LightGBM reads what follows", _params(LGB, metric=["auc", ["fs=/etc/passwd"]]))
case("a name in quotes", "is no parameter of a boosting library", _params(LGB, **{'"fs"': "/etc/passwd"}))
case(
    "a name behind a space", "is no parameter of a boosting library", _params(LGB, **{"max_depth=3 fs": "/etc/passwd"})
)
case("further parameters in a hidden one", "can't name a parameter", _params(LGB, _other_params={"fs": "/etc/passwd"}))

# --------------------------------------------------------- values with a reserved key
FUNCTION = "sklearn.preprocessing.FunctionTransformer"
for name in (
    "os.system",
    "builtins.eval",
    "numpy.load.__call__",
    "numpy.lib.npyio.load",
    "numpy._core.multiarray.fromfile",
    "sklearn.datasets.load_files",
    "scipy.io.loadmat",
    "numpy",
    "numpy.Log1p",
    "",
):
    case(
        f"the function {name!r}",
        "'func' is called|names no function",
        _estimator(FUNCTION, func={"__function__": name}),
    )
for name in (
    "numpy.load",
    "numpy.fromfile",
    "numpy.save",
    "numpy.frompyfunc",
    "numpy.apply_along_axis",
    "scipy.special.os",
):
    # Spelled like a ufunc, and none: only a lookup knows.
    value = {"__function__": name}
    case(f"the function {name}", "may not travel", _estimator(FUNCTION, func=value), decoder=False)
    case(f"a trial's function {name}", "may not travel", _params(FUNCTION, func=value), decoder=False)
case(
    "a function beside something else",
    "'func' is called",
    _estimator(FUNCTION, func={"__function__": "numpy.log1p", "__tuple__": []}),
)
case("a function as an objective", "takes no function", _params(XGB, objective={"__function__": "numpy.log1p"}))
case("a function for a tokenizer", "'tokenizer' is called", _params(TEXT, tokenizer={"__function__": "numpy.log1p"}))
case("a folder as an array", "'memory' names a folder", _params(PIPELINE, memory={"__array__": ["str", [NOWHERE]]}))
case(
    "a second parameter in an array",
    "LightGBM reads what follows",
    _params(LGB, metric={"__array__": ["str", ["auc fs=/etc/passwd"]]}),
)
case(
    "a second parameter in an index",
    "LightGBM takes numbers, text",
    _params(LGB, metric={"__index__": ["a fs=/etc/passwd"]}),
)
for name, value in {
    "an array of objects": {"__array__": ["object", [{"__reduce__": []}]]},
    "an array of nothing known": {"__array__": ["V100000000", [1]]},
    "an array of many dimensions": {"__array__": ["int64", [[1], [2]]]},
    "an array of dates": {"__array__": ["datetime64[ns]", [1]]},
    "an array of numbers that it can't hold": {"__array__": ["int8", [300]]},
    "an array that is none": {"__array__": "int8"},
    "an index of bools": {"__index__": [True]},
    "a slice of lists": {"__slice__": [[1], 2, 3]},
    "a slice of two": {"__slice__": [1, 2]},
    "a dtype of its own": {"__dtype__": "i8,V1000"},
    "a dtype in a list": {"__dtype__": ["int8"]},
    "a type that runs code": {"__type__": "os.system"},
    "a type of NumPy that reads files": {"__type__": "numpy.memmap"},
    "a selector with more": {"__selector__": {"pattern": "a", "__call__": 1}},
    "a selector of lists": {"__selector__": {"dtype_include": [["a"]]}},
    "a selector by a class": {"__selector__": {"dtype_include": {"__estimator__": "os.system", "params": {}}}},
    "a selector with a long pattern": {"__selector__": {"pattern": "(a+)+" * 1000}},
}.items():
    case(name, "may travel|is no |misuses the reserved key", _trial(params={"max_features": value}))
case(
    "an output of another kind",
    "is no estimator",
    _objective(estimator={"__estimator__": TREE["__estimator__"], "params": {}, "output": "os.system"}),
)
case(
    "an output that is a list",
    "is no estimator",
    _objective(estimator={"__estimator__": TREE["__estimator__"], "params": {}, "output": ["pandas"]}),
)
case("a kernel as an estimator", "is a kernel", _estimator("sklearn.gaussian_process.kernels.RBF"), decoder=False)
case(
    "a base of kernels as a parameter",
    "is not on the allow-list|is no estimator class",
    _trial(params={"splitter": {"__estimator__": "sklearn.gaussian_process.kernels.cdist", "params": {}}}),
    decoder=False,
)
