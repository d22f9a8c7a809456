"""Selects the trials and parameters that Optuna's plots show."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from optuna.study import Study as OptunaStudy
from optuna.study import load_study
from optuna.trial import FrozenTrial, TrialState

from producer.formatting import nearest, plural
from producer.results.study_reader import StudyReader
from producer.views.optuna.read_only import Snapshot, copy_of
from warren.errors import InputError

# Share of the best trials in a sample.
_BEST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Trials that have a score, and the parameters to plot.

    Attributes
    ----------
    source : optuna.study.Study
        All trials of the study that have ended.
    metric : str
        The metric of the scores.
    trials : tuple of FrozenTrial
        Sorted by number.
    ended : int
        Number of trials that have ended, with or without a score.
    params : tuple of str
        Parameters that all `trials` have.
    notes : tuple of str
        What was left out, and how to see it.
    """

    source: OptunaStudy
    metric: str
    trials: tuple[FrozenTrial, ...]
    ended: int
    params: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, study: StudyReader, metric: str | None) -> Selection:
        """Select every trial that has a score.

        Raises
        ------
        InputError
            The study has no such metric.
        """
        from producer.views.optuna.to_optuna import to_optuna

        source = to_optuna(study, metric)
        every = source.get_trials(deepcopy=False)
        scored = tuple(trial for trial in every if trial.state == TrialState.COMPLETE)
        failed = len(every) - len(scored)
        names = source.metric_names
        return cls(
            source=source,
            metric=names[0] if names else study.refit,
            trials=scored,
            ended=len(every),
            notes=(f"{plural(failed, 'failed trial')} left out",) if failed else (),
        )

    def by(self, params: Sequence[str] | None, estimator: str | None) -> Selection:
        """Select parameters, and the trials that have them.

        Parameters
        ----------
        params : sequence of str, default=None
            None selects the parameters that all trials have and that differ among them; if the
            estimators have none in common, those of the best trial's estimator, and its trials.
        estimator : str, default=None
            Only trials of this class.

        Raises
        ------
        InputError
            No trial has these parameters, or this class.
        """
        if isinstance(params, str):
            params = [params]
        chosen = self
        if estimator is not None:
            chosen = chosen._of_class(estimator)
        if params is not None:
            return chosen._having(tuple(params))
        classes = {class_of(trial) for trial in chosen.trials}
        common = _common(chosen.trials)
        if len(classes) < 2:
            return replace(chosen, params=common)
        if set(common) <= {"estimator"}:
            best = class_of(max(chosen.trials, key=_score))
            alone = chosen._of_class(best)
            return replace(alone, params=_common(alone.trials))
        everything = {name for trial in chosen.trials for name in trial.params}
        if everything - set(common):
            note = f"parameters that all estimators have; estimator={_example(classes)!r} shows all of one"
            chosen = replace(chosen, notes=(*chosen.notes, note))
        return replace(chosen, params=common)

    def _of_class(self, name: str) -> Selection:
        classes = {class_of(trial) for trial in self.trials}
        if name not in classes:
            raise InputError(
                f"estimator={name!r}: no trial with a score has it; choose from {', '.join(sorted(classes)) or 'none'}"
            )
        trials = tuple(trial for trial in self.trials if class_of(trial) == name)
        note = (f"only {name}",) if len(classes) > 1 else ()
        return replace(self, trials=trials, notes=(*self.notes, *note))

    def _having(self, params: tuple[str, ...]) -> Selection:
        known = sorted({name for trial in self.trials for name in trial.params})
        for name in params:
            if name not in known:
                raise InputError(
                    f"params: no trial with a score has {name!r}; the closest name is {nearest(name, known)!r}"
                )
        trials = tuple(trial for trial in self.trials if trial.params.keys() >= set(params))
        if not trials:
            raise InputError(f"params={list(params)}: no trial has all of them; pass parameters of one estimator")
        left = len(self.trials) - len(trials)
        note = (f"{plural(left, 'trial')} without {' and '.join(params)} left out",) if left else ()
        return replace(self, trials=trials, params=params, notes=(*self.notes, *note))

    def thinned(self, most: int) -> Selection:
        """Keep at most `most` trials: the best, and a reproducible sample of the others."""
        if len(self.trials) <= most:
            return self
        best_first = sorted(self.trials, key=lambda trial: (-_score(trial), trial.number))
        best = best_first[: round(most * _BEST_SHARE)]
        others = random.Random(0).sample(best_first[len(best) :], most - len(best))  # noqa: S311 - not for security
        note = f"{most:,} of {len(self.trials):,} trials: the best {len(best):,} and a sample of the others"
        kept = tuple(sorted([*best, *others], key=lambda trial: trial.number))
        return replace(self, trials=kept, notes=(*self.notes, note))

    def first(self, most: int) -> Selection:
        """Keep at most `most` parameters."""
        if len(self.params) <= most:
            return self
        note = f"{most} of {len(self.params)} parameters; params=[...] selects others"
        return replace(self, params=self.params[:most], notes=(*self.notes, note))

    def best_last(self) -> Selection:
        """Put the best trials last, so that they are drawn over the others."""
        return replace(self, trials=tuple(sorted(self.trials, key=_score)))

    def in_order(self) -> Selection:
        """Sort the trials by end time and number them from 0: a grid's order does not show time."""
        ordered = sorted(self.trials, key=lambda trial: (trial.datetime_complete is None, trial.datetime_complete))
        renumbered = []
        for place, trial in enumerate(ordered):
            copy = copy_of(trial)
            copy.number = place
            renumbered.append(copy)
        return replace(self, trials=tuple(renumbered))

    def study(self) -> OptunaStudy:
        """Return the selected trials as an Optuna study."""
        frozen = self.source._storage.get_all_studies()[0]
        return load_study(study_name=frozen.study_name, storage=Snapshot(frozen, self.trials))

    @property
    def note(self) -> str:
        """What was left out, as one line."""
        return " · ".join(self.notes)


def class_of(trial: FrozenTrial) -> str:
    """Return the class name of a trial's estimator."""
    # In a grid over estimators it is a parameter with a text value:
    # XGBClassifier(tree_method=hist).
    return str(trial.user_attrs.get("estimator") or trial.params.get("estimator", "")).partition("(")[0]


def differ(name: str, trials: Sequence[FrozenTrial]) -> bool:
    """Return whether a parameter that all trials have differs among them."""
    return len({repr(trial.params[name]) for trial in trials}) > 1


def _score(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _common(trials: Sequence[FrozenTrial]) -> tuple[str, ...]:
    """Return the common parameters that differ among the trials; all of them if none differs."""
    if not trials:
        return ()
    names = [name for name in trials[0].params if all(name in trial.params for trial in trials)]
    return tuple([name for name in names if differ(name, trials)] or names)


def _example(names: Iterable[str]) -> str:
    return sorted(names)[0]
