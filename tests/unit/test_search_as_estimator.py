"""A search as an estimator among others: nested, cloned, pickled."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from fitted import assert_same, both
from in_process import IN_PROCESS
from sklearn import config_context, get_config, model_selection
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import GridSearchCV, RandomizedSearchCV, Study
from warren.errors import InputError

pytestmark = IN_PROCESS

X, Y = make_classification(120, 6, n_informative=4, flip_y=0.2, random_state=1)
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, 120)
TREE = DecisionTreeClassifier(random_state=0)
GRID = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5]}


def search(estimator: Any = TREE, grid: Any = GRID, **options: Any) -> GridSearchCV:
    return GridSearchCV(estimator, grid, **{"cv": 3, "name": uuid4().hex} | options)


# ------------------------------------------------------------------------- among others


@pytest.mark.slow
def test_each_outer_fold_is_a_study_of_its_own() -> None:
    name = uuid4().hex
    ours = cross_validate(search(name=name), X, Y, cv=3, return_estimator=True)
    theirs = cross_val_score(model_selection.GridSearchCV(TREE, GRID, cv=3), X, Y, cv=3)
    assert ours["test_score"].tolist() == theirs.tolist()
    assert len({one.study_.id for one in ours["estimator"]}) == 3
    assert {one.name for one in Study.list() if one.name == name} == {name}


def test_a_search_is_a_step_of_a_pipeline() -> None:
    steps = [("best", SelectKBest(k=4)), ("search", search())]
    theirs = [steps[0], ("search", model_selection.GridSearchCV(TREE, GRID, cv=3))]
    found, expected = Pipeline(steps).fit(X, Y), Pipeline(theirs).fit(X, Y)
    assert found.predict(X).tolist() == expected.predict(X).tolist()
    assert found["search"].study_.status().state == "COMPLETE"


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


def test_values_in_the_results_are_the_user_s_own_objects() -> None:
    inner = [LogisticRegression(C=0.5), SVC()]
    fitted = search(Pipeline([("clf", SVC())]), {"clf": inner}, refit=False).fit(X, Y)
    assert [params["clf"] for params in fitted.cv_results_["params"]] == inner
    assert not any(hasattr(one, "classes_") for one in inner)


def test_a_search_is_drawn_as_scikit_learn_s() -> None:
    fitted = search(refit=False)
    assert "DecisionTreeClassifier" in fitted._repr_html_()
    assert "max_depth=1" in search(grid={"max_depth": [1]}).fit(X, Y)._repr_html_()


def test_a_model_that_stopped_early_is_trained_on_all_rows_there_and_here() -> None:
    boosted = XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=0.6, n_jobs=1)
    options = {"validation_fraction": 0.2, "name": uuid4().hex}
    there, here = (search(boosted, {"max_depth": [2, 4]}, **options, refit_on=on) for on in ("workers", "here"))
    found = [one.fit(X, Y).best_estimator_ for one in (there, here)]
    assert found[0].predict_proba(X).tolist() == found[1].predict_proba(X).tolist()
    assert found[0].get_booster().num_boosted_rounds() < 60


# -------------------------------------------------------------------------- metadata routing


@pytest.mark.parametrize("weigh", [True, False], ids=["scores are weighed", "scores are not"])
def test_weights_go_where_they_are_requested(weigh: bool) -> None:
    with config_context(enable_metadata_routing=True):
        tree = DecisionTreeClassifier(random_state=0).set_fit_request(sample_weight=True)
        scorer = make_scorer(fbeta_score, beta=2).set_score_request(sample_weight=weigh)
        scoring = {"f2": scorer, "f2_again": scorer}
        for options in ({"scoring": scorer}, {"scoring": scoring, "refit": "f2"}):
            assert_same(both(tree, GRID, X, Y, fit={"sample_weight": WEIGHTS}, **options), X, Y)


def test_weights_go_through_a_pipeline_to_the_step_that_requests_them() -> None:
    with config_context(enable_metadata_routing=True):
        last = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        model = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=False)), ("clf", last)])
        assert_same(both(model, {"clf__C": [0.1, 1.0]}, X, Y, fit={"sample_weight": WEIGHTS}), X, Y)


# ------------------------------------------------------------------- scikit-learn's configuration


@pytest.mark.slow
def test_scikit_learn_s_configuration_is_set_on_the_workers_only() -> None:
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


def test_a_search_without_one_fit_raises_what_scikit_learn_raises() -> None:
    options = {"grid": {"max_depth": [-1, -2]}, "error_score": 0.0}
    with pytest.raises(ValueError, match=r"All the 6 fits failed\.\nIt is very likely that your model is misconf"):
        search(**options).fit(X, Y)
    with pytest.raises(ValueError, match=r"All the 6 fits failed\.\nIt is very likely that your model is misconf"):
        model_selection.GridSearchCV(TREE, options["grid"], cv=3, error_score=0.0).fit(X, Y)


def test_verbose_says_how_many_fits_and_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    search(verbose=1, name="verbose search").fit(X, Y)
    shown = capsys.readouterr()
    assert shown.out == "Fitting 3 folds for each of 6 candidates, totalling 18 fits\n"
    assert "verbose search: 6/6 trials (100%)" in shown.err
    search(name="quiet search").fit(X, Y)
    assert capsys.readouterr() == ("", "")


def test_the_same_fit_again_reads_what_is_there() -> None:
    first, again = search(), search()
    again.set_params(name=first.name)
    first.fit(X, Y)
    assert again.fit(X, Y).study_.id == first.study_.id
    assert again.cv_results_["mean_fit_time"].tolist() == first.cv_results_["mean_fit_time"].tolist()


def test_a_callable_as_scoring_is_refused_before_anything_is_published() -> None:
    before = len(Study.list())
    with pytest.raises(InputError, match="a callable can't be sent"):
        search(scoring=lambda estimator, X, y: 1.0).fit(X, Y)
    assert len(Study.list()) == before


# --------------------------------------------------------------------------------- data as sent


@pytest.mark.slow
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
