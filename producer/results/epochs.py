"""The epochs of a trial's networks as a table, for ended trials and trials in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

Curves: TypeAlias = dict[int, Mapping[str, Any]]
"""By fold: lists of equal length with the epochs, counted from 1, the loss and the metrics."""


def ended_curves(trial: Document) -> Curves:
    """Return the curves of a trial document."""
    return {fold: curve for fold, curve in enumerate(trial.get("split_epochs") or ()) if curve}


def live_curves(note: Document) -> Curves:
    """Return the curves of a trial in training, from its document in ``unfinished``."""
    return {
        int(fold): curve for fold, curve in sorted((note.get("epochs") or {}).items(), key=lambda item: int(item[0]))
    }


def epochs_frame(store: Store, trials: OwnTrials, number: int) -> pd.DataFrame:
    """Return a trial's epochs so far: see `producer.results.study_reader.StudyReader.epochs`."""
    import pandas as pd

    trial = trials.one(number)
    if trial is None:
        note = store.unfinished.of(trials.expected.study_id, [number]).get(number)
        # It may have ended between the two reads.
        trial = trials.one(number) if note is None else None
        curves = live_curves(note or {}) if trial is None else ended_curves(trial)
    else:
        curves = ended_curves(trial)
    parts = [pd.DataFrame({"fold": fold, **curve}) for fold, curve in curves.items()]
    if not parts:
        return pd.DataFrame({"fold": pd.Series(dtype=int), "epoch": pd.Series(dtype=int)})
    found = pd.concat(parts, ignore_index=True)
    first = ["fold", "epoch", "loss"]
    return found[[*first, *(name for name in found.columns if name not in first)]]
