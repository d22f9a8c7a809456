"""Bodies that are no messages, fields that are none, and names that no worker knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hostile.making import TREE, Cases, Message, message_with, nested, objective_with, raw, trial_with, with_estimator

CASES = Cases()
case = CASES.add

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
case("many values", "^a message of 2,500,0.. values", raw("[" + "[]," * 1_250_000 + "[]]"))
case("a lone surrogate", "^body: Invalid JSON", raw('"\\ud800"'))
case("a number of 5,000 digits", "number out of range", raw("9" * 5000))
case("a number of 65 bits", r"max_depth.* = 1844674407370955161\d: integers must fit in 64 bits", raw(str(2**64)))
case("NaN", r"max_depth'\] = nan: JSON has no such number", raw("NaN"))
case("an exponent that overflows", "= inf: JSON has no such number", raw("1e999"))
case("deep parameters", "nested deeper than 32 levels", raw(json.dumps(nested(1, 100))))

# --------------------------------------------------------------------------- fields
case("another version", "^schema_version: Input should be 1", message_with(schema_version=2))
case("a version in words", "^schema_version", message_with(schema_version="one"))
case("an unknown field", r"^'priority\\n\$': Extra inputs", message_with(**{"priority\n$": 1}))
case("a study that is a query", "^study_id: Input should be a valid string", message_with(study_id={"$gt": ""}))
for text in ("$where", "a.b", "a:1", "a\x00", "a\n", "A", "", "a" * 201, "../a"):
    case(f"a study called {text[:9]!r}", "^study_id: String should", message_with(study_id=text))
case("generation 0", "^generation", message_with(generation=0))
case("a generation of 65 bits", "^generation", message_with(generation=2**64))
case("an index of 65 bits", "^index", message_with(index=2**64))
case("no trials", "^trials", message_with(trials=[]))
case(
    "a trial that comes twice", r"^trials\.1\.number=0 is in the chunk twice", lambda m: m | {"trials": m["trials"] * 2}
)
case("a negative number", r"^trials\.0\.number", trial_with(number=-1))
case("a number that MongoDB can't hold", r"^trials\.0\.number", trial_with(number=2**63))
case("an estimate that is NaN", r"^trials\.0\.estimated_seconds", trial_with(estimated_seconds="NaN"))
case("an estimate for ever", r"^trials\.0\.estimated_seconds", trial_with(estimated_seconds=1e300))
case("no time limit at all", "^trial_timeout", message_with(trial_timeout="Infinity"))
case("no estimator", "^trials.0.estimator is missing", objective_with(estimator=None))
case(
    "an estimator without parameters", r"^objective\.estimator = .* is no estimator", objective_with(estimator={"a": 1})
)
case(
    "an estimator whose parameters are a list",
    r"^objective\.estimator = .* is no estimator",
    objective_with(estimator={"__estimator__": TREE["__estimator__"], "params": [1]}),
)
case("a billion folds", "^1,000,000,000 splits", objective_with(n_splits=10**9))
case("a metric that is a path", "^objective.scorers", objective_with(scorers={"a.b": None}, refit="a.b"))
case("a metric that is an operator", "^objective.scorers", objective_with(scorers={"$set": None}, refit="$set"))
case(
    "a scorer that is an expression", "^objective.scorers.score", objective_with(scorers={"score": "__import__('os')"})
)


def _metric(function: str = "sklearn.metrics.fbeta_score", **fields: Any) -> Callable[[Message], Message]:
    return objective_with(scorers={"score": {"function": function} | fields})


case("a scorer that is a list", "^objective.scorers.score", objective_with(scorers={"score": ["accuracy"]}))
case(
    "a scorer without a function",
    "^objective.scorers.score.*function: Field required",
    objective_with(scorers={"score": {}}),
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
case("a deep metric", "nested deeper than 32 levels", _metric(kwargs={"beta": nested(1, 100)}))
for name, reason in {
    "os.system": "is not on the allow-list",
    "builtins.eval": "is not on the allow-list",
    "sklearn.utils.shuffle": "is not on the allow-list",
    "sklearn.metrics.cluster.rand_score": "is not on the allow-list",
    "sklearn.metrics.pairwise": "is not a public function of sklearn.metrics",
    "sklearn.metrics.ConfusionMatrixDisplay": "is not a public function of sklearn.metrics",
    "sklearn.metrics.no_such_metric": "is not a public function of sklearn.metrics",
    "sklearn.metrics.make_scorer": "does not compare true with predicted values",
    "sklearn.metrics.pairwise_kernels": "does not compare true with predicted values",
    "sklearn.metrics.get_scorer_names": "does not compare true with predicted values",
}.items():
    case(f"the metric {name}", reason, _metric(name), decoder=False)
for name in ("y_pred", "y_true", "no_such_keyword"):
    case(f"a metric that is given {name}", "takes no keyword", _metric(kwargs={name: 1}), decoder=False)
case("a best metric that is none", "^objective.refit='other' is none", objective_with(refit="other"))
case("data by a path", "^objective.dataset", objective_with(dataset="../../etc/passwd"))
for text in ("a.b", "$set", "a\x00b", "_a", "a__", "a" * 201, "clf___depth"):
    case(f"a parameter called {text[:12]!r}", r"can't name a parameter", trial_with(params={text: 1}))
case(
    "a misused key",
    "misuses the reserved key '__reduce__'",
    trial_with(params={"max_depth": {"__reduce__": ["os.system"]}}),
)
case("a key with NUL", "holds a NUL", trial_with(params={"class_weight": {"a\x00": 1.0}}))
case("a key that is a list", "can't be the key", trial_with(params={"class_weight": {"__dict__": [[[1], 2]]}}))
case("a huge parameter", "bytes of parameters", trial_with(params={"max_depth": "x" * 2**21}))

# ------------------------------------------------------------------- names of classes
for name in (
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "numpy.load",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.tests.test_base.MyEstimator",
    "sklearn.__builtins__.eval",
    "worker.chunk.runner.ChunkRunner",
):
    case(f"the class {name}", "is not on the allow-list", with_estimator(name), decoder=False)
case("a module as a class", "is no estimator class", with_estimator("sklearn.utils.sys"), decoder=False)
case("a function as a class", "is no estimator class", with_estimator("sklearn.datasets.load_files"), decoder=False)
case(
    "a class in a parameter",
    "'os.system' is not on the allow-list",
    trial_with(params={"splitter": {"__estimator__": "os.system", "params": {"command": "true"}}}),
    decoder=False,
)
case("a scorer that is not there", "no_such_scorer", objective_with(scorers={"score": "no_such_scorer"}), decoder=False)
case("data that is not there", "was the study's data deleted", objective_with(dataset="0" * 64), decoder=False)
case("folds that are not there", "was the study's data deleted", objective_with(splits="0" * 64), decoder=False)
