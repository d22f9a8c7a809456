"""Read-only storages for Optuna: their base class, and a storage in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Iterable, Sequence
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState


class ReadOnlyError(RuntimeError):
    """A write to a read-only storage. The message says what was refused, and what to do instead."""


def _refused(what: str) -> Any:
    """Return a method that raises `ReadOnlyError`."""

    def refuse(self: ReadOnlyStorage, *_: object, **__: object) -> NoReturn:
        raise ReadOnlyError(f"can't {what}: this storage is read only; {self.way_out}")

    return refuse


def copy_of(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial that the caller may change; it shares the distributions."""
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
    """Return the trials of some states, as ``get_all_trials`` does."""
    chosen = [trial for trial in trials if states is None or trial.state in states]
    # Ten times faster than copy.deepcopy.
    return [copy_of(trial) for trial in chosen] if deepcopy else chosen


class ReadOnlyStorage(BaseStorage):
    """A storage whose writing methods raise `ReadOnlyError`.

    A subclass defines ``get_all_studies``, ``get_all_trials`` and ``get_trial``.
    """

    way_out = "change the study where it was made"
    """What the error message tells the user to do instead."""

    def study_of(self, study_id: int) -> FrozenStudy:
        """Return the study with an id.

        Raises
        ------
        KeyError
            There is no such study.
        """
        for study in self.get_all_studies():
            if study._study_id == study_id:
                return study
        raise KeyError(f"no study with the id {study_id}")

    @abstractmethod
    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, sorted by id."""

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study with a name; raise `KeyError` without one."""
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(f"no study {study_name!r}")

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a study's name; raise `KeyError` without such a study."""
        return self.study_of(study_id).study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return a study's directions: scores are maximised."""
        return self.study_of(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return a study's user attributes."""
        return self.study_of(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return a study's system attributes."""
        return self.study_of(study_id).system_attrs

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return a trial's id; raise `KeyError` without such a trial. Numbers may have gaps."""
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
        Sorted by number, with gaps for trials that have not ended.
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
        """Return its trials, sorted by number."""
        self.study_of(study_id)
        return select(self._trials.values(), deepcopy=deepcopy, states=states)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id; raise `KeyError` without one."""
        return self._trials[trial_id]
