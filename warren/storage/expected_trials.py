"""The expected form of a study's trial documents, by which they are told from all others.

Anyone who may write to the database can store anything under a study's name; and until messages
were recorded (`warren.storage.published_chunks`), so could anyone who may publish. One such
document must not break the results of a study or of a database: readers skip it, and log that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, TypeAlias

from bson.int64 import Int64

from warren.errors import short
from warren.messages import Objective
from warren.storage.documents import Document, trial_id
from warren.storage.progress_counts import STATES

logger = logging.getLogger(__name__)

# Documents that a warning names, and most that are reported: thousands are an attack, or a study of
# a later version.
_MOST_NAMED = 3
_MOST_REPORTED = 1_000

_Check: TypeAlias = Callable[[Any], bool]


class Anything:
    """Stands for a parameter's value that the study does not determine."""


ANYTHING = Anything()

COMPARED = ("_id", "number", "params")
"""Fields that tell a document from those of other studies."""


# Exact types, which is fast: a bool is not a number, but the driver's type for wide integers is
# one.
_NUMBER = frozenset({float, int, Int64})
_INTEGER = frozenset({int, Int64})
_TEXT = frozenset({str})
_MOMENT = frozenset({datetime})
_OR_NONE = _NUMBER | {type(None)}

_KINDS: dict[str, frozenset[type]] = {
    **dict.fromkeys(("study_id", "estimator", "library", "error", "output", "worker", "device", "cpu"), _TEXT),
    **dict.fromkeys(("fit_seconds", "score_seconds", "saved_seconds", "estimated_seconds"), _NUMBER),
    **dict.fromkeys(("mean_best_iteration", "mean_test_score", "std_test_score"), _NUMBER),
    **dict.fromkeys(("failed_fits", "shared_by", "attempts", "threads", "seed", "peak_memory_bytes"), _INTEGER),
    **dict.fromkeys(("started_at", "finished_at"), _MOMENT),
    "params": frozenset({dict}),
}


def _are_numbers(value: Any, size: int) -> bool:
    return type(value) is list and len(value) == size and _OR_NONE.issuperset(map(type, value))


def _is_curve(value: Any) -> bool:
    """Return whether a value is the epochs of a fold: lists of equal length, with ``epoch``."""
    if value is None or value == {}:
        return True
    if not isinstance(value, dict) or not isinstance(value.get("epoch"), list):
        return False
    return all(_are_numbers(numbers, len(value["epoch"])) for numbers in value.values())


def _are_curves(value: Any) -> bool:
    return isinstance(value, dict) and all(fold.isdecimal() and _is_curve(curve) for fold, curve in value.items())


def _was_seen(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("at")) is datetime and isinstance(value.get("worker"), str)


def _were_seen(value: Any) -> bool:
    return isinstance(value, list) and all(map(_was_seen, value))


def _is_model(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("file", "format", "sha256"))


def _is_state(value: Any) -> bool:
    return isinstance(value, str) and value in STATES


_CHECKS: dict[str, _Check] = {
    "state": _is_state,
    "interrupted": _were_seen,
    "last_seen": _was_seen,
    "epochs": _are_curves,
    "model": _is_model,
}


class Expected:
    """The expected form of a study's trial documents.

    Parameters
    ----------
    study_id : str
        The study.
    n_trials : int
        Its number of trials.
    objective : Objective
        Its folds and metrics.
    point : callable, default=None
        Returns the parameters of a trial by its number, as in its document, with `ANYTHING` for
        unknown values; None compares no parameters.
    """

    def __init__(
        self,
        study_id: str,
        n_trials: int,
        objective: Objective,
        point: Callable[[int], Mapping[str, Any]] | None = None,
    ) -> None:
        self._point = point
        folds = objective.n_splits

        def by_fold(value: Any) -> bool:
            return _are_numbers(value, folds)

        self._kinds = _KINDS | {
            f"{statistic}_{part}": _NUMBER for part in objective.parts for statistic in ("mean", "std")
        }
        self._checks = _CHECKS | {
            **dict.fromkeys(("split_fit_seconds", "split_score_seconds"), by_fold),
            **{f"split_{part}": by_fold for part in objective.parts},
            "split_epochs": lambda value: type(value) is list and len(value) == folds and all(map(_is_curve, value)),
        }
        # Without these fields, a result is useless to readers.
        self.result = frozenset({"state", "finished_at", *(f"split_{part}" for part in objective.parts)})
        self.study_id = study_id
        self.n_trials = n_trials
        self.n_splits = folds
        # Documents that were reported, by their ids as in a warning.
        self._reported: set[str] = set()

    @property
    def skipped(self) -> int:
        """The number of reported documents that are not the study's."""
        return len(self._reported)

    def own(self, documents: Iterable[Document], needed: AbstractSet[str]) -> Iterator[Document]:
        """Yield the study's own documents; at the end, log each of the others once.

        Parameters
        ----------
        documents : iterable of dict
            With the fields in `COMPARED` at least.
        needed : set of str
            Fields that a document must have; of `result`, those that were read.

        Yields
        ------
        dict
            A document of the study.
        """
        others: dict[str, str] = {}
        try:
            for document in documents:
                if (problem := self.problem(document, needed)) is None:
                    yield document
                else:
                    others[short(document.get("_id"))] = problem
        finally:
            self._report(others)

    def problem(self, document: Document, needed: AbstractSet[str]) -> str | None:
        """Return why a document is not the study's own, or None."""
        number: Any = document.get("number")
        if type(number) not in _INTEGER or not 0 <= number < self.n_trials:
            return f"its number {short(number)} is not one of 0 to {self.n_trials - 1}"
        if document.get("_id") != trial_id(self.study_id, number):
            return f"it claims to be trial {number}"
        for name, value in document.items():
            if value is None:
                continue
            if (kinds := self._kinds.get(name)) is not None:
                fits = type(value) in kinds
            else:
                fits = (check := self._checks.get(name)) is None or check(value)
            if not fits:
                return f"{name}={short(value)} is not what a worker writes"
        if missing := [name for name in needed if document.get(name) is None]:
            return f"it has no {min(missing)}"
        return self._other_point(number, document.get("params"))

    def _other_point(self, number: int, params: Any) -> str | None:
        if self._point is None:
            return None
        if params is None:
            return "it has no params"
        if params == (point := self._point(number)):
            return None
        for name, value in point.items():
            found = params.get(name, ANYTHING)
            if found is ANYTHING or not (value is ANYTHING or _same(value, found)):
                return f"params.{name} is {'missing' if found is ANYTHING else short(found)}, not {short(value)}"
        if more := [name for name in params if name not in point and name != "estimator"]:
            return f"the space has no parameter {short(more[0])}"
        return None

    def _report(self, others: Mapping[str, str]) -> None:
        news = [f"{name}: {why}" for name, why in others.items() if name not in self._reported]
        if not news or len(self._reported) >= _MOST_REPORTED:
            return
        self._reported.update(others)
        named = "; ".join(news[:_MOST_NAMED]) + ("; ..." if len(news) > _MOST_NAMED else "")
        logger.warning(
            "study %s: skipped %s: %s. study.retry_failed() removes them and trains their trials again",
            self.study_id,
            "1 document that is not this study's" if len(news) == 1
            else f"{len(news):,} documents that are not this study's",
            named,
        )  # fmt: skip


def _same(value: Any, found: Any) -> bool:
    """Return whether two values are equal, or both NaN."""
    return bool(value == found or (value != value and found != found))
