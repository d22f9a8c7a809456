"""A search as an estimator among others, and as a study: nested, cloned, pickled, interrupted, cancelled."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
from typing import Any
from uuid import uuid4

import joblib
import numpy as np
import pandas as pd
import pytest
from acceptance.conftest import StartWorker
from catboost import CatBoostClassifier
from fitted import assert_same, both
from polling import until
from servers import Urls
from sklearn import config_context, get_config, model_selection
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import GridSearchCV, RandomizedSearchCV, Study
from warren.errors import BrokerError, InputError, NoResultError, StoreError, TrialError
from warren.settings import Settings
from warren.storage.study_document import StudySpace

X, Y = make_classification(120, 6, n_informative=4, flip_y=0.2, random_state=1)
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, 120)
TREE = DecisionTreeClassifier(random_state=0)
GRID = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5]}


def search(estimator: Any = TREE, grid: Any = GRID, **options: Any) -> GridSearchCV:
    return GridSearchCV(estimator, grid, **{"cv": 3, "name": uuid4().hex} | options)


# ------------------------------------------------------------------------- among others


@pytest.mark.usefixtures("stack")
def test_each_outer_fold_is_a_study_of_its_own() -> None:
    name = uuid4().hex
    ours = cross_validate(search(name=name), X, Y, cv=3, return_estimator=True)
    theirs = cross_val_score(model_selection.GridSearchCV(TREE, GRID, cv=3), X, Y, cv=3)
    assert ours["test_score"].tolist() == theirs.tolist()
    assert len({one.study_.id for one in ours["estimator"]}) == 3
    assert {one.name for one in Study.list() if one.name == name} == {name}


@pytest.mark.usefixtures("stack")
def test_a_search_is_a_step_of_a_pipeline() -> None:
    steps = [("best", SelectKBest(k=4)), ("search", search())]
    theirs = [steps[0], ("search", model_selection.GridSearchCV(TREE, GRID, cv=3))]
    found, expected = Pipeline(steps).fit(X, Y), Pipeline(theirs).fit(X, Y)
    assert found.predict(X).tolist() == expected.predict(X).tolist()
    assert found["search"].study_.status().state == "COMPLETE"


@pytest.mark.usefixtures("stack")
def test_parameters_are_set_and_cloned_as_those_of_scikit_learn() -> None:
    made = RandomizedSearchCV(TREE, GRID, n_iter=3, random_state=0, priority=3, trial_timeout=60.0)
    assert isinstance(made, model_selection.RandomizedSearchCV)
    assert is_classifier(made)
    copy = clone(made).set_params(estimator__criterion="entropy", priority=5, name=uuid4().hex)
    assert (copy.estimator.criterion, copy.priority, copy.trial_timeout) == ("entropy", 5, 60.0)
    assert (made.estimator.criterion, made.priority) == ("gini", 3)
    assert repr(made).startswith("RandomizedSearchCV(estimator=DecisionTreeClassifier(random_state=0), n_iter=3,")
    assert copy.fit(X, Y).study_.status().total == 3
    assert not hasattr(clone(copy), "study_")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("estimator", [TREE, XGBClassifier(n_estimators=3, n_jobs=1)], ids=["skops", "a booster"])
def test_a_fitted_search_is_pickled_without_sockets_and_passwords(estimator: Any) -> None:
    fitted = search(estimator, {"max_depth": [1, 2]}).fit(X, Y)
    dumped = io.BytesIO()
    joblib.dump(fitted, dumped)
    for secret in (os.environ["AMQP_URL"], os.environ["MONGO_URL"]):
        assert secret.encode() not in dumped.getvalue()
    dumped.seek(0)
    for read in (joblib.load(dumped), pickle.loads(pickle.dumps(fitted))):
        assert read.predict_proba(X).tolist() == fitted.predict_proba(X).tolist()
        assert read.cv_results_["mean_test_score"].tolist() == fitted.cv_results_["mean_test_score"].tolist()
        assert read.study_.id == fitted.study_.id
        assert read.study_.status().state == "COMPLETE"


@pytest.mark.usefixtures("stack")
def test_values_in_the_results_are_the_user_s_own_objects() -> None:
    inner = [LogisticRegression(C=0.5), SVC()]
    fitted = search(Pipeline([("clf", SVC())]), {"clf": inner}, refit=False).fit(X, Y)
    assert [params["clf"] for params in fitted.cv_results_["params"]] == inner
    assert not any(hasattr(one, "classes_") for one in inner)


@pytest.mark.usefixtures("stack")
def test_a_search_is_drawn_as_scikit_learn_s() -> None:
    fitted = search(refit=False)
    assert "DecisionTreeClassifier" in fitted._repr_html_()
    assert "max_depth=1" in search(grid={"max_depth": [1]}).fit(X, Y)._repr_html_()


@pytest.mark.usefixtures("stack")
def test_a_model_that_stopped_early_is_trained_on_all_rows_there_and_here() -> None:
    boosted = XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=0.6, n_jobs=1)
    options = {"validation_fraction": 0.2, "name": uuid4().hex}
    there, here = (search(boosted, {"max_depth": [2, 4]}, **options, refit_on=on) for on in ("workers", "here"))
    found = [one.fit(X, Y).best_estimator_ for one in (there, here)]
    assert found[0].predict_proba(X).tolist() == found[1].predict_proba(X).tolist()
    assert found[0].get_booster().num_boosted_rounds() < 60


# -------------------------------------------------------------------------- metadata routing


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("weigh", [True, False], ids=["scores are weighed", "scores are not"])
def test_weights_go_where_they_are_requested(weigh: bool) -> None:
    with config_context(enable_metadata_routing=True):
        tree = DecisionTreeClassifier(random_state=0).set_fit_request(sample_weight=True)
        scorer = make_scorer(fbeta_score, beta=2).set_score_request(sample_weight=weigh)
        scoring = {"f2": scorer, "f2_again": scorer}
        for options in ({"scoring": scorer}, {"scoring": scoring, "refit": "f2"}):
            assert_same(both(tree, GRID, X, Y, fit={"sample_weight": WEIGHTS}, **options), X, Y)


@pytest.mark.usefixtures("stack")
def test_weights_go_through_a_pipeline_to_the_step_that_requests_them() -> None:
    with config_context(enable_metadata_routing=True):
        last = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        model = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=False)), ("clf", last)])
        assert_same(both(model, {"clf__C": [0.1, 1.0]}, X, Y, fit={"sample_weight": WEIGHTS}), X, Y)


# ------------------------------------------------------------------- scikit-learn's configuration


@pytest.mark.usefixtures("stack")
def test_what_is_set_in_scikit_learn_is_set_on_the_workers_and_nowhere_else() -> None:
    frame = pd.DataFrame(X, columns=list("abcdef"))
    named = make_column_transformer((SelectKBest(k=2), list("abcd")), remainder="passthrough")
    model = Pipeline([("scale", StandardScaler()), ("names", named), ("clf", LogisticRegression())])
    with config_context(transform_output="pandas", assume_finite=True):
        before = get_config()
        pair = both(model, {"clf__C": [0.1, 1.0]}, frame, Y)
        assert get_config() == before
        assert_same(pair, frame, Y)
        found, expected = (one.best_estimator_[:-1].transform(frame) for one in (pair.ours, pair.theirs))
        pd.testing.assert_frame_equal(found, expected)
        assert pair.ours.best_estimator_["clf"].feature_names_in_.tolist() == found.columns.tolist()
    # The next study on the same data is evaluated without.
    array_named = make_column_transformer((SelectKBest(k=2), [0, 1, 2, 3]), remainder="passthrough")
    assert_same(both(clone(model).set_params(names=array_named), {"clf__C": [0.1, 1.0]}, frame, Y), frame, Y)


# ---------------------------------------------------------------------------------- as a study


def test_cancelling_and_interrupts_end_a_fit_and_the_same_fit_goes_on(
    servers: Settings, start_worker: StartWorker
) -> None:
    cancelled, interrupted = search(name="goes on"), search(name="goes on")

    def cancel() -> None:
        until(lambda: hasattr(cancelled, "study_"), 60)
        Study.attach(cancelled.study_.id).cancel()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(NoResultError, match=r"was cancelled when 0 of 6 trials had ended: the same fit\(...\) goes on"):
        cancelled.fit(X, Y)
    other.join()
    assert not hasattr(cancelled, "best_params_")

    def interrupt() -> None:
        until(lambda: hasattr(interrupted, "study_"), 60)
        os.kill(os.getpid(), signal.SIGINT)

    alarm = threading.Thread(target=interrupt)
    alarm.start()
    with pytest.raises(KeyboardInterrupt, match=r"study '.*' goes on without this cell.*Study.attach\('"):
        interrupted.fit(X, Y)
    alarm.join()
    study = Study.attach(cancelled.study_.id)
    assert interrupted.study_.id == study.id
    assert (study.status().state, study.status().done) == ("RUNNING", 0)

    start_worker()
    assert interrupted.fit(X, Y).study_.id == study.id
    assert study.status().state == "COMPLETE"
    theirs = model_selection.GridSearchCV(TREE, GRID, cv=3).fit(X, Y)
    assert interrupted.predict(X).tolist() == theirs.predict(X).tolist()


@pytest.mark.usefixtures("stack")
def test_a_failure_that_shall_raise_ends_the_search() -> None:
    failing = search(grid={"max_depth": [-1, *range(1, 40)]}, error_score="raise", n_chunks=40)
    with pytest.raises(
        TrialError, match=r"trial 0 with {'max_depth': -1} failed: fold 0: InvalidParameterError"
    ) as seen:
        failing.fit(X, Y)
    assert isinstance(seen.value, ValueError)
    assert failing.study_.status().state in {"CANCELLED", "COMPLETE"}


@pytest.mark.usefixtures("stack")
def test_a_search_without_one_fit_raises_what_scikit_learn_raises() -> None:
    options = {"grid": {"max_depth": [-1, -2]}, "error_score": 0.0}
    with pytest.raises(ValueError, match=r"All the 6 fits failed\.\nIt is very likely that your model is misconf"):
        search(**options).fit(X, Y)
    with pytest.raises(ValueError, match=r"All the 6 fits failed\.\nIt is very likely that your model is misconf"):
        model_selection.GridSearchCV(TREE, options["grid"], cv=3, error_score=0.0).fit(X, Y)


@pytest.mark.usefixtures("stack")
def test_verbose_says_how_many_fits_and_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    search(verbose=1, name="verbose search").fit(X, Y)
    shown = capsys.readouterr()
    assert shown.out == "Fitting 3 folds for each of 6 candidates, totalling 18 fits\n"
    assert "verbose search: 6/6 trials (100%)" in shown.err
    search(name="quiet search").fit(X, Y)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("stack")
def test_the_same_fit_again_reads_what_is_there() -> None:
    first, again = search(), search()
    again.set_params(name=first.name)
    first.fit(X, Y)
    assert again.fit(X, Y).study_.id == first.study_.id
    assert again.cv_results_["mean_fit_time"].tolist() == first.cv_results_["mean_fit_time"].tolist()


@pytest.mark.usefixtures("stack")
def test_ten_thousand_drawn_points_are_submitted_as_columns() -> None:
    made = RandomizedSearchCV(Ridge(), {"alpha": np.linspace(0, 1, 10_000), "tol": [1e-3, 1e-4]}, n_iter=10_000, cv=2)
    made.set_params(random_state=0, name=uuid4().hex, refit=False, share_fits=False)

    def cancel() -> None:
        until(lambda: hasattr(made, "study_"), 60)
        made.study_.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(NoResultError):
        made.fit(X, X[:, 0])
    other.join()
    assert [*made.study_.read(StudySpace).space[0]] == ["__points__", "__order__"]
    assert list(Study.attach(made.study_.id).space)[:3] == [
        {"alpha": float(point["alpha"]), "tol": point["tol"]}
        for point in list(model_selection.ParameterSampler(made.param_distributions, 10_000, random_state=0))[:3]
    ]
    made.study_.delete()


def test_servers_that_are_away_are_named(stack: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.2")
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:9/tuning")
    with pytest.raises(StoreError, match=r"can't be reached.*local_stack\(\)"):
        search().fit(X, Y)
    monkeypatch.setenv("MONGO_URL", stack.mongo_url)
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:9")
    with pytest.raises(BrokerError, match="can't be reached"):
        search().fit(X, Y)


@pytest.mark.usefixtures("stack")
def test_what_a_worker_can_not_be_told_is_refused_before_anything_is_published() -> None:
    before = len(Study.list())
    with pytest.raises(InputError, match="a callable can't travel"):
        search(scoring=lambda estimator, X, y: 1.0).fit(X, Y)
    assert len(Study.list()) == before


# --------------------------------------------------------------------------------- data as sent


@pytest.mark.usefixtures("stack")
def test_dates_and_labels_in_a_frame_are_as_in_scikit_learn() -> None:
    days = pd.date_range("2020", periods=120, tz="Europe/Berlin")
    mixed = pd.Series(np.resize(np.array(["x", 1, None], dtype=object), 120), index=days, dtype=object)
    frame = pd.DataFrame(X, columns=list("abcdef"), index=days).assign(day=days, mixed=mixed)
    y = pd.DataFrame({"label": np.array(["no", "yes"], dtype=object)[Y]}, index=days)
    numbers = make_column_transformer((StandardScaler(), list("abcdef")))
    pair = both(Pipeline([("numbers", numbers), ("clf", TREE)]), {"clf__max_depth": [1, 3]}, frame, y)
    assert_same(pair, frame, y)
    own = CatBoostClassifier(iterations=5, learning_rate=0.5, thread_count=1, verbose=0, allow_writing_files=False)
    pair = both(own, {"depth": [2, 3]}, frame[list("abcdef")], y)
    assert pair.ours.cv_results_["mean_test_score"].tolist() == pair.theirs.cv_results_["mean_test_score"].tolist()
    assert pair.ours.best_score_ > 0.6
