"""Storages for Optuna that are read only: what they have in common, and one in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Iterable, Sequence
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState


class ReadOnlyError(RuntimeError):
    """Something was to be written to a storage that is read only. The text says what, and the way out."""


def _refused(what: str) -> Any:
    """Return a method that refuses to write, whatever it is given."""

    def refuse(self: ReadOnlyStorage, *_: object, **__: object) -> NoReturn:
        raise ReadOnlyError(f"can't {what}: it is read only here; {self.way_out}")

    return refuse


def copy_of(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that its owner may change; its distributions, which nobody changes, are shared."""
    return FrozenTrial(
        trial.number,
        trial.state,
        None,
        trial.datetime_start,
        trial.datetime_complete,
        dict(trial.params),
        dict(trial.distributions),
        dict(trial.user_attrs),
        dict(trial.system_attrs),
        dict(trial.intermediate_values),
        trial._trial_id,
        values=trial.values,
    )


def select(trials: Iterable[FrozenTrial], *, deepcopy: bool, states: Container[TrialState] | None) -> list[FrozenTrial]:
    """Return what ``get_all_trials`` does of a study's trials."""
    chosen = [trial for trial in trials if states is None or trial.state in states]
    # Quicker than copy.deepcopy by an order of magnitude.
    return [copy_of(trial) for trial in chosen] if deepcopy else chosen


class ReadOnlyStorage(BaseStorage):
    """A storage whose writing methods raise `ReadOnlyError`.

    Three methods make a storage of it: ``get_all_studies``, ``get_all_trials`` and ``get_trial``.
    """

    way_out = "change the study where it was made"
    """What the error says to do instead."""

    def study_of(self, study_id: int) -> FrozenStudy:
        """Return the study of an id.

        Raises
        ------
        KeyError
            There is none.
        """
        for study in self.get_all_studies():
            if study._study_id == study_id:
                return study
        raise KeyError(f"no study with the id {study_id}")

    @abstractmethod
    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, by id."""

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study of a name; `KeyError` where there is none."""
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(f"no study {study_name!r}")

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a study's name; `KeyError` where there is none."""
        return self.study_of(study_id).study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return a study's directions: scores are maximised."""
        return self.study_of(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what is noted of a study."""
        return self.study_of(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what Optuna itself notes of a study."""
        return self.study_of(study_id).system_attrs

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return a trial's id; `KeyError` where there is none. Numbers may have gaps."""
        for trial in self.get_all_trials(study_id, deepcopy=False):
            if trial.number == trial_number:
                return trial._trial_id
        raise KeyError(f"study {study_id} has no trial {trial_number}")

    # ------------------------------------------------------------------- writing

    create_new_study = _refused("create a study")
    delete_study = _refused("delete a study")
    set_study_user_attr = _refused("change a study")
    set_study_system_attr = _refused("change a study")
    create_new_trial = _refused("add a trial")
    set_trial_param = _refused("change a trial")
    set_trial_state_values = _refused("change a trial")
    set_trial_intermediate_value = _refused("change a trial")
    set_trial_user_attr = _refused("change a trial")
    set_trial_system_attr = _refused("change a trial")


class Snapshot(ReadOnlyStorage):
    """One study with its trials, in memory.

    Parameters
    ----------
    study : FrozenStudy
    trials : sequence of FrozenTrial
        By number, with gaps where a trial has not ended.
    """

    way_out = (
        "to go on in Optuna, copy it: own = optuna.create_study(direction='maximize'); "
        "own.add_trials(study.to_optuna().trials)"
    )

    def __init__(self, study: FrozenStudy, trials: Sequence[FrozenTrial]) -> None:
        self._study = study
        self._trials = {trial._trial_id: trial for trial in trials}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the one study."""
        return [self._study]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return its trials, by number."""
        self.study_of(study_id)
        return select(self._trials.values(), deepcopy=deepcopy, states=states)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id; `KeyError` where there is none."""
        return self._trials[trial_id]
