"""Turn a trial's parameters into an estimator and a plan for its fit."""

from __future__ import annotations

import functools
import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from sklearn.utils import get_tags

from warren.encoding.codec import Json, decode
from warren.libraries.resolve import ResolvedTrial
from warren.libraries.resolve import resolve as resolve_trial
from warren.messages import Chunk, Trial
from warren.safety.allowlist import resolve
from warren.settings import Settings
from warren.storage.dataset import Matrix
from worker.fitting import learner_of
from worker.training.build import THREAD_PARAMETERS, build, placed, takes_threads
from worker.training.guards import checked_once, install


@functools.cache
def _constructor(cls: type) -> frozenset[str] | None:
    """Names that a constructor accepts; None if it accepts any.

    A pipeline's steps are parameters, but not among these.
    """
    taken = inspect.signature(cls).parameters.values()
    return None if any(item.kind is item.VAR_KEYWORD for item in taken) else frozenset(item.name for item in taken)


def _jobs(name: str, value: Any) -> bool:
    """Return whether a parameter is an inner estimator's number of threads, not a step."""
    path, _, last = name.rpartition("__")
    return bool(path) and last in THREAD_PARAMETERS and (value is None or isinstance(value, int))


# Parameters that let scikit-learn's estimators write into their input, with the values that allow
# it.
_IN_PLACE = re.compile(r'"([^"]*__)?copy(_[Xx]|_X_train)?": (false|null|0)\b')


class Candidate:
    """A trial's estimator: each call builds a new, unfitted one.

    Parameters
    ----------
    encoded : dict
        The encoded estimator.
    params : dict
        The trial's encoded parameters.
    settings : Settings
        Device, threads and allow-list.

    Raises
    ------
    InputError
        A name is not on the allow-list, or a value misuses the encoding.
    """

    def __init__(self, encoded: Json, params: dict[str, Json], settings: Settings) -> None:
        encoded, params = placed(encoded, settings.device), placed(params, settings.device)
        fixed = encoded.get("params")
        self._allow = settings.allow
        cls = resolve(str(encoded.get("__estimator__", "")), self._allow)
        taken = _constructor(cls)
        own = {name: value for name, value in params.items() if "__" not in name and (taken is None or name in taken)}
        self._encoded = encoded | {"params": fixed | own} if own and isinstance(fixed, dict) else encoded
        self._inner = {name: value for name, value in params.items() if name not in own}
        self._nested = "__estimator__" in json.dumps([self._encoded.get("params"), self._inner])
        make = functools.partial(build, threads=settings.threads)
        self._decode = functools.partial(decode, allow=self._allow, build=make, again=True)
        # Some part may write into its input, which is shared with other trials.
        self.in_place = _IN_PLACE.search(json.dumps([self._encoded, self._inner])) is not None
        self.learner = learner_of(cls, tuple(self._allow), in_place=self.in_place)
        # Resolve every name without building anything, so that a name off the allow-list fails
        # before any work.
        for value in (self._encoded, *self._inner.values()):
            decode(value, self._allow, build=lambda cls, _: cls)
        install()  # its libraries are loaded now; an estimator without inner ones is checked when its class is called
        self._make = checked_once(self._made, self._allow) if self._nested or self._inner else self._made

    def __call__(self) -> Any:
        """Return a new estimator; an error of its class for these parameters is not caught."""
        return self._make()

    def _made(self) -> Any:
        estimator = self._decode(self._encoded)
        if self._inner:
            estimator.set_params(**{name: self._decode(value) for name, value in self._inner.items()})
        if self._nested and takes_threads(estimator):
            # The outer estimator has the threads already; inner ones would multiply them.
            estimator.set_params(
                **{name: 1 for name, value in estimator.get_params(deep=True).items() if _jobs(name, value)}
            )
        return estimator

    def pairwise(self, X: Matrix) -> bool:
        """Return whether X is a kernel or distance matrix for this estimator."""
        if X.ndim != 2 or X.shape[0] != X.shape[1]:
            return False
        try:
            return bool(get_tags(self()).input_tags.pairwise)
        except Exception:  # noqa: BLE001 - it can't be built: its fits fail for the same reason, as this trial's result
            return False


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial about to be evaluated.

    Attributes
    ----------
    trial : Trial
        The trial.
    resolved : ResolvedTrial
        Its final estimator and parameters.
    candidate : Candidate
        Builds that estimator.
    group : str
        Neighbouring trials of one group share a fit on each fold.
    attempt : int
        Number of this attempt.
    """

    trial: Trial
    resolved: ResolvedTrial
    candidate: Candidate
    group: str
    attempt: int

    @classmethod
    def of(cls, chunk: Chunk, trial: Trial, settings: Settings, attempt: int, *, share: bool) -> Planned:
        """Plan a trial of a chunk: its estimator, and the group with which it shares a fit."""
        encoded = trial.estimator or chunk.objective.estimator or {}
        candidate = Candidate(encoded, trial.params, settings)
        resolved = resolve_trial(encoded, trial.params)
        return cls(
            trial=trial,
            resolved=resolved,
            candidate=candidate,
            group=resolved.group(trial.number, share=share and not candidate.in_place),
            attempt=attempt,
        )
