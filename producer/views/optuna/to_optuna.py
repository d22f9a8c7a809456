"""Copies a study to Optuna, in memory, for Optuna's plots, importances and samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.results.study_reader import StudyReader
from producer.views.optional_packages import require
from warren.storage.study_document import StudySpace

if TYPE_CHECKING:
    import optuna


def to_optuna(study: StudyReader, metric: str | None = None) -> optuna.study.Study:
    """Return a study as Optuna's, in memory.

    Parameters
    ----------
    study : StudyReader
    metric : str, default=None
        The objective, one of the study's metrics; None is ``study.refit``. The others are
        attributes of the trials.

    Returns
    -------
    optuna.study.Study
        The trials that have ended so far, to read, plot and copy; it is read-only. A trial keeps
        its number, so numbers have gaps while the study runs.

    Raises
    ------
    InputError
        Optuna is not installed, or the study has no such metric.
    StudyError
        The study was deleted.
    StoreError
        MongoDB is unreachable.
    """
    require("study.to_optuna()", "optuna")
    import optuna

    from producer.views.optuna.convert import Translator
    from producer.views.optuna.read_only import Snapshot

    translator = Translator(study.read(StudySpace), metric)
    documents = sorted(study.trials.of(translator.fields), key=lambda one: int(one["number"]))
    storage = Snapshot(translator.study(study.id, 0), [*translator.trials(documents)])
    return optuna.load_study(study_name=study.id, storage=storage)
