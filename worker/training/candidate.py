"""What a trial trains: the estimator that its parameters make, and the plan of its fit."""

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
from worker.training.guards import install, looked_at


@functools.cache
def _constructor(cls: type) -> frozenset[str] | None:
    """Names that a constructor takes; None where it takes any. A pipeline's steps are parameters, yet none of these."""
    taken = inspect.signature(cls).parameters.values()
    return None if any(one.kind is one.VAR_KEYWORD for one in taken) else frozenset(one.name for one in taken)


def _jobs(name: str, value: Any) -> bool:
    """Say whether a parameter is an inner estimator's number of threads, and no step that is called so."""
    path, _, last = name.rpartition("__")
    return bool(path) and last in THREAD_PARAMETERS and (value is None or isinstance(value, int))


# A parameter that lets scikit-learn's estimators write into the data that they are given, set to what does.
_IN_PLACE = re.compile(r'"([^"]*__)?copy(_[Xx]|_X_train)?": (false|null|0)\b')


class Candidate:
    """What a trial trains: makes a new, unfitted estimator whenever it is called.

    Parameters
    ----------
    encoded : dict
        The encoded estimator.
    params : dict
        The trial's encoded parameters.
    settings : Settings

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
        # Something in it may write into its data, which are others' too.
        self.in_place = _IN_PLACE.search(json.dumps([self._encoded, self._inner])) is not None
        self.learner = learner_of(cls, tuple(self._allow), in_place=self.in_place)
        # Resolves every name and makes nothing: a name off the allow-list shows before any work.
        for value in (self._encoded, *self._inner.values()):
            decode(value, self._allow, build=lambda cls, _: cls)
        install()  # the libraries that it needs are loaded; a class that stands alone is looked at when it is called
        self._make = looked_at(self._made, self._allow) if self._nested or self._inner else self._made

    def __call__(self) -> Any:
        """Return a new estimator; what its class raises for these parameters comes through."""
        return self._make()

    def _made(self) -> Any:
        estimator = self._decode(self._encoded)
        if self._inner:
            estimator.set_params(**{name: self._decode(value) for name, value in self._inner.items()})
        if self._nested and takes_threads(estimator):
            # The outer estimator has the threads already; its inner ones would multiply them.
            estimator.set_params(
                **{name: 1 for name, value in estimator.get_params(deep=True).items() if _jobs(name, value)}
            )
        return estimator

    def pairwise(self, X: Matrix) -> bool:
        """Say whether X is a kernel or distance matrix to this estimator."""
        if X.ndim != 2 or X.shape[0] != X.shape[1]:
            return False
        try:
            return bool(get_tags(self()).input_tags.pairwise)
        except Exception:  # noqa: BLE001 - it can't be made: its fits will say why, as this trial's result
            return False


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial about to be evaluated.

    Attributes
    ----------
    trial : Trial
    resolved : ResolvedTrial
        What it trains in the end.
    candidate : Candidate
        Makes that.
    group : str
        Neighbours of one group share a fit on each fold.
    attempt : int
        Which try this is.
    """

    trial: Trial
    resolved: ResolvedTrial
    candidate: Candidate
    group: str
    attempt: int

    @classmethod
    def of(cls, chunk: Chunk, trial: Trial, settings: Settings, attempt: int, *, share: bool) -> Planned:
        """Say what a trial of a chunk trains, and with whom."""
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
