"""Converts a study to an Optuna study in memory, for Optuna's plots, importances and samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.results.study_reader import StudyReader
from producer.views.optional_packages import require

if TYPE_CHECKING:
    import optuna


def to_optuna(study: StudyReader, metric: str | None = None) -> optuna.study.Study:
    """Return a study as an Optuna study in memory.

    Parameters
    ----------
    study : StudyReader
    metric : str, default=None
        The objective, one of the study's metrics; None is ``study.refit``. The other metrics become
        user attributes of the trials.

    Returns
    -------
    optuna.study.Study
        The trials that have ended. They keep their numbers, so numbers have gaps while the study
        runs. The study is read only: it can be plotted and copied.

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

    from producer.views.optuna.convert import STUDY_FIELDS, Translator
    from producer.views.optuna.read_only import Snapshot

    translator = Translator(study.document(STUDY_FIELDS), metric)
    documents = sorted(study.trials.of(translator.fields), key=lambda document: int(document["number"]))
    storage = Snapshot(translator.study(study.id, 0), [*translator.trials(documents)])
    return optuna.load_study(study_name=study.id, storage=storage)
