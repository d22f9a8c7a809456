"""The dashboard's most frequent requests, answered from a cache of serialised trials.

The page asks for a study every few seconds, and sends as ``after`` how many trials it has.
optuna-dashboard itself serialises all trials each time; this keeps full pages of them. The JSON has
optuna-dashboard's own format.
"""

from __future__ import annotations

import json
import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial
from optuna_dashboard._importance import get_param_importance_from_trials_cache
from optuna_dashboard._inmemory_cache import InMemoryCache
from optuna_dashboard._serializer import (
    serialize_frozen_trial,
    serialize_study_detail,
)

from producer.views.optuna.storage import LiveStorage
from producer.views.optuna.trial_cache import View

# Trials in a cached page: 1.6 MB of JSON, 0.1 MB compressed.
_PAGE = 1_000
# Most cached pages, of all studies together.
_MOST_PAGES = 500


class Pages:
    """Responses of the dashboard's API, as JSON.

    Parameters
    ----------
    storage : LiveStorage
    """

    def __init__(self, storage: LiveStorage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._weighing = threading.Lock()
        # Compressed JSON by (study, count of replaced rows, first trial); least recently used
        # first.
        self._packed: dict[tuple[int, int, int], bytes] = {}

    def study(self, study_id: int, after: int) -> bytes:
        """Return a study, and its trials after the first `after`.

        Parameters
        ----------
        study_id : int
        after : int
            Number of trials that the page already has.

        Returns
        -------
        bytes
            JSON.

        Raises
        ------
        KeyError
            There is no such study.
        """
        view = self._storage.view(study_id)
        frame: dict[str, Any] = serialize_study_detail(
            view.study,
            [] if view.best is None else [view.best],
            [],
            list(view.in_all.items()),
            list(view.in_any.items()),
            list(view.attributes.items()),
            False,
            {},
            [],
        )
        del frame["trials"]
        parts = [json.dumps(frame).encode()[:-1], b', "trials": [', *self._trials(view, after), b"]}"]
        return b"".join(parts)

    def _trials(self, view: View, after: int) -> list[bytes]:
        found: list[bytes] = []
        place = after
        while place < len(view.trials):
            end = place - place % _PAGE + _PAGE
            if place % _PAGE == 0 and end <= len(view.trials):
                found.append(self._full_page(view, place))
            else:
                found.append(_text(view, view.trials[place:end]))
            found.append(b", ")
            place = end
        return found[:-1]

    def _full_page(self, view: View, place: int) -> bytes:
        key = (view.study._study_id, view.replaced, place)
        with self._lock:
            packed = self._packed.pop(key, None)
        text = _text(view, view.trials[place : place + _PAGE]) if packed is None else zlib.decompress(packed)
        with self._lock:
            self._packed[key] = packed or zlib.compress(text, 1)
            while len(self._packed) > _MOST_PAGES:
                del self._packed[next(iter(self._packed))]
        return text

    def importances(self, study_id: int) -> bytes:
        """Return parameter importances as JSON; raise `KeyError` without such a study."""
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        # One at a time, because all threads share the warning filters. The warning is about equal
        # scores.
        with self._weighing, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            # A new cache each time: a kept one would hold the trials of every study ever shown.
            found = get_param_importance_from_trials_cache(InMemoryCache(), self._storage, study_id, 0, trials)
        return json.dumps({"param_importances": [found]}).encode()


def _text(view: View, trials: Sequence[FrozenTrial]) -> bytes:
    """Return trials as a JSON list, without its brackets."""
    study_id, system_attributes = view.study._study_id, view.study.system_attrs
    return json.dumps([serialize_frozen_trial(study_id, trial, system_attributes) for trial in trials]).encode()[1:-1]
