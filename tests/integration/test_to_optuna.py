"""Studies handed to Optuna."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier
from submitting import TWELVE, X, Y, finish, own_fields, submit_trees

from producer import Study, submit
from producer.views.optional_packages import require
from producer.views.optuna.read_only import ReadOnlyError
from warren.errors import InputError
from warren.storage.documents import pack, trial_id
from warren.storage.store import Store

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDED = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


def write(store: Store, study: Study, number: int, state: str = "COMPLETE", **fields: Any) -> None:
    document = {
        "_id": trial_id(study.id, number),
        "study_id": study.id,
        "number": number,
        **own_fields(study, number),
        "estimator": "DecisionTreeClassifier",
        "state": state,
        "error": None if state == "COMPLETE" else "fold 0: ValueError: no",
        "mean_test_score": number / 100,
        "std_test_score": 0.01,
        "split_test_score": [number / 100] * 3,
        "fit_seconds": 0.25,
        "worker": "w-1",
        "attempts": 1,
        "started_at": BEGAN,
        "finished_at": ENDED,
    }
    assert store.trials.insert([pack(document | fields)]) == [0]


def test_a_study_has_its_trials_scores_states_and_times(store: Store) -> None:
    study = submit_trees()
    for number in (0, 4, 11):
        write(store, study, number)
    write(store, study, 5, "FAILED", mean_test_score=math.nan)
    write(store, study, 6, mean_test_score=math.nan)

    found = study.to_optuna()
    assert isinstance(found, optuna.study.Study)
    assert (found.study_name, found.direction.name, found.metric_names) == (study.id, "MAXIMIZE", ["score"])
    assert found.user_attrs == {"name": study.name}
    trials = found.trials
    assert [(trial.number, trial.state.name, trial.values) for trial in trials] == [
        (0, "COMPLETE", [0.0]),
        (4, "COMPLETE", [0.04]),
        (5, "FAIL", None),
        (6, "FAIL", None),
        (11, "COMPLETE", [0.11]),
    ]
    assert [trial.params for trial in trials] == [TWELVE[trial.number] for trial in trials]
    assert trials[0].distributions == {
        "max_depth": CategoricalDistribution((1, 2, 3, None)),
        "min_samples_leaf": IntDistribution(1, 5),
    }
    assert trials[0].datetime_start == BEGAN.astimezone().replace(tzinfo=None)
    assert trials[0].duration is not None
    assert trials[0].duration.total_seconds() == 1
    assert trials[1].user_attrs == {
        "std_test_score": 0.01,
        "split_test_score": [0.04] * 3,
        "estimator": "DecisionTreeClassifier",
        "fit_seconds": 0.25,
        "worker": "w-1",
        "attempts": 1,
    }
    assert trials[2].user_attrs["error"] == "fold 0: ValueError: no"
    assert (found.best_trial.number, found.best_value, found.best_params) == (11, 0.11, TWELVE[11])
    assert len(found.get_trials(states=(TrialState.FAIL,))) == 2
    assert found.trials_dataframe()["number"].tolist() == [0, 4, 5, 6, 11]


def test_optuna_draws_and_weighs_what_it_is_given(store: Store) -> None:
    study = submit_trees()
    for number in range(12):
        write(store, study, number, mean_test_score=0.5 + (number // 3) / 10)
    found = study.to_optuna()
    importances = optuna.importance.get_param_importances(
        found, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert importances["max_depth"] > importances["min_samples_leaf"]
    for plot in (
        optuna.visualization.plot_optimization_history,
        optuna.visualization.plot_parallel_coordinate,
        optuna.visualization.plot_slice,
        optuna.visualization.plot_timeline,
    ):
        assert plot(found).data


def test_several_metrics_make_one_objective_and_notes(store: Store) -> None:
    grids = [{"estimator": [DecisionTreeClassifier()], "max_depth": [1, 2]}, {"estimator": [DummyClassifier()]}]
    study = submit(None, grids, X, Y, scoring=["accuracy", "roc_auc"], refit="roc_auc", cv=2, return_train_score=True)
    scores = {"mean_test_accuracy": 0.6, "mean_test_roc_auc": 0.7, "mean_test_score": 0.7, "mean_train_accuracy": 0.9}
    write(store, study, 0, **scores)
    write(store, study, 2, **scores)

    by_default, other = study.to_optuna().trials[0], metric_of(study, "accuracy").trials[0]
    assert (by_default.value, by_default.user_attrs["mean_test_accuracy"]) == (0.7, 0.6)
    assert (other.value, other.user_attrs["mean_test_roc_auc"]) == (0.6, 0.7)
    assert by_default.user_attrs["mean_train_accuracy"] == 0.9
    assert metric_of(study, "accuracy").metric_names == ["accuracy"]
    # Several estimators are a parameter; what one of them does not have is missing.
    assert by_default.params == {"estimator": "DecisionTreeClassifier", "max_depth": 1}
    assert "estimator" not in by_default.user_attrs
    assert study.to_optuna().trials[1].params == {"estimator": "DummyClassifier"}
    with pytest.raises(InputError, match=r"metric='f1': the study has 'accuracy', 'roc_auc'"):
        metric_of(study, "f1")


def metric_of(study: Study, metric: str) -> optuna.study.Study:
    from producer.views.optuna.to_optuna import to_optuna

    return to_optuna(study, metric)


def test_an_optuna_study_of_ours_can_be_copied_but_not_changed(store: Store) -> None:
    study = submit_trees()
    finish(store, study, range(12))
    found = study.to_optuna()
    refused = r"can't add a trial: this storage is read only; to go on in Optuna, copy it: .*own\.add_trials"
    with pytest.raises(ReadOnlyError, match=refused):
        found.add_trials(found.trials)
    with pytest.raises(ReadOnlyError, match="can't change a study"):
        found.set_user_attr("a", 1)

    # A copy of a trial is its owner's.
    found.trials[0].params["max_depth"] = 99
    found.trials[0].user_attrs.clear()
    assert found.trials[0].params == TWELVE[0]
    assert found.trials[0].user_attrs

    own = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    own.add_trials(found.trials)
    own.optimize(lambda trial: float(trial.suggest_int("min_samples_leaf", 1, 5)), n_trials=2)
    assert len(own.trials) == 14
    assert pickle.loads(pickle.dumps(found)).best_value == 0.5


def test_a_study_without_a_result_is_empty(store: Store) -> None:
    assert submit_trees().to_optuna().trials == []


def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(InputError, match=r"^it needs no-such and nor-this: pip install no-such nor-this$"):
        require("it", "optuna", "no-such", "nor-this")
