"""A good message, what a case does to it, and the changes that cases are made of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
# Where the cases point: nothing may ever be there.
NOWHERE = "/tmp/warren-hostile"
XGB, LGB, CAT = "xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier"
PIPELINE = "sklearn.pipeline.Pipeline"
TEXT = "sklearn.feature_extraction.text.CountVectorizer"
TREE = {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}}


def good(**changes: Any) -> Message:
    """Return a message that a producer could have sent, of one trial of a tree, with some
    fields changed.

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

    ``decoder`` says whether the decoder refuses it; other things only a worker can know, which
    has the classes.
    """

    change: Callable[[Message], Message | bytes]
    reason: str
    decoder: bool = True

    def body(self, message: Message) -> bytes:
        changed = self.change(copy.deepcopy(message))
        return changed if isinstance(changed, bytes) else json.dumps(changed).encode()


class Cases(dict[str, Case]):
    """Cases by their names, which are given once."""

    def add(
        self, name: str, reason: str, change: Callable[[Message], Message | bytes], *, decoder: bool = True
    ) -> None:
        assert name not in self
        self[name] = Case(change=change, reason=reason, decoder=decoder)


def message_with(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | fields


def objective_with(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | {"objective": message["objective"] | fields}


def trial_with(**fields: Any) -> Callable[[Message], Message]:
    return lambda message: message | {"trials": [message["trials"][0] | fields]}


def with_estimator(name: str, **params: Any) -> Callable[[Message], Message]:
    return objective_with(estimator={"__estimator__": name, "params": params})


def with_params(name: str, **params: Any) -> Callable[[Message], Message]:
    """Give a trial's parameters to an estimator."""
    return lambda message: trial_with(params=params)(with_estimator(name)(message))


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def raw(text: str) -> Callable[[Message], bytes]:
    """Write text where the trial's ``max_depth`` has its value."""
    return lambda message: json.dumps(message).encode().replace(b'"max_depth": 2', b'"max_depth": ' + text.encode())
