"""The epochs of a trial's networks as a table: of one that has ended, and of one that is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

Curves: TypeAlias = dict[int, Mapping[str, Any]]
"""By fold: the epochs, counted from 1, and by name the loss and metrics at their ends; lists of one length."""


def ended_curves(trial: Document) -> Curves:
    """Return the curves of a trial document."""
    return {fold: curve for fold, curve in enumerate(trial.get("split_epochs") or ()) if curve}


def live_curves(note: Document) -> Curves:
    """Return the curves of a trial that has not ended, of a document in ``unfinished``."""
    return {int(fold): curve for fold, curve in sorted((note.get("epochs") or {}).items(), key=lambda one: int(one[0]))}


def epochs_frame(store: Store, trials: OwnTrials, number: int) -> pd.DataFrame:
    """Return the epochs of a trial by now: see `producer.results.study_reader.StudyReader.epochs`."""
    import pandas as pd

    trial = trials.one(number)
    if trial is None:
        note = store.unfinished.of(trials.expected.study_id, [number]).get(number)
        # It may have ended between the two looks.
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
