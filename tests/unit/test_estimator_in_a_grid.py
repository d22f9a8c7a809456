"""The key ``estimator`` in a grid: a parameter, step or member of that name, or what every trial
brings itself."""

from __future__ import annotations

from typing import Any

import pytest
from beside import X, Y, assert_as_scikit_learn, on_worker
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from producer.space.space import Space
from producer.submission import _study_id
from producer.validation import check_estimators
from producer.validation.estimators import takes_estimator
from warren.errors import InputError

TREE, SMALL = DecisionTreeClassifier(random_state=0), DecisionTreeClassifier(max_depth=1, random_state=0)
STEPS = Pipeline([("scale", StandardScaler()), ("estimator", LogisticRegression())])

SEARCHES: dict[str, tuple[Any, Any]] = {
    "a last step": (STEPS, {"estimator": [SVC(), SVC(C=0.1)], "scale": [StandardScaler(), "passthrough"]}),
    "a last step and what is set on it": (STEPS, {"estimator": [SVC(), SVC(kernel="poly")], "estimator__C": [0.1, 1]}),
    "a last step in one of two grids": (STEPS, [{"estimator": [SVC()]}, {"estimator__C": [0.01, 1.0]}]),
    "a first step": (
        Pipeline([("estimator", StandardScaler()), ("clf", SVC())]),
        {"estimator": [MinMaxScaler(), "passthrough"], "clf__C": [1, 9]},
    ),
    "steps that a grid brings": (
        Pipeline([("scale", StandardScaler()), ("clf", SVC())]),
        {"steps": [[("scale", MinMaxScaler()), ("estimator", SVC())]], "estimator": [TREE, SVC()]},
    ),
    "a member that votes": (
        VotingClassifier([("estimator", TREE), ("other", LogisticRegression())]),
        {"estimator": [SMALL, SVC(), "drop"]},
    ),
    "a member of a stack": (
        StackingClassifier([("estimator", TREE), ("other", LogisticRegression())], cv=KFold(2)),
        {"estimator": [SMALL, "drop"], "final_estimator__C": [0.1, 1.0], "final_estimator": [LogisticRegression()]},
    ),
    "a pipeline in a pipeline": (
        Pipeline([("estimator", Pipeline([("estimator", TREE)]))]),
        {"estimator": [STEPS], "estimator__estimator": [SVC(), TREE]},
    ),
    "a member of a union": (
        Pipeline([("union", FeatureUnion([("estimator", StandardScaler())])), ("clf", SVC())]),
        {"union__estimator": [MinMaxScaler(), "passthrough"]},
    ),
    "boosting": (AdaBoostClassifier(random_state=0), {"estimator": [TREE, SMALL], "n_estimators": [3]}),
    "bagging": (BaggingClassifier(random_state=0), {"estimator": [TREE, SVC()], "n_estimators": [3]}),
    "calibration": (CalibratedClassifierCV(cv=2), {"estimator": [TREE, LogisticRegression()]}),
    "elimination": (RFE(LogisticRegression()), {"estimator": [TREE, LogisticRegression(C=0.1)]}),
    "one against the rest": (OneVsRestClassifier(SVC()), {"estimator": [TREE, SVC(C=3)]}),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_key_that_names_a_step_or_member_sets_it_as_in_scikit_learn(name: str) -> None:
    estimator, grid = SEARCHES[name]
    kind = type(estimator).__name__
    for document in assert_as_scikit_learn(estimator, grid):
        assert document["estimator"] == kind


def test_a_key_that_names_nothing_is_what_every_trial_brings() -> None:
    for estimator in (None, SVC(), Pipeline([("scale", StandardScaler()), ("clf", SVC())])):
        grid = {"estimator": [TREE, BaggingClassifier(TREE, random_state=0)]}
        found, _, documents = on_worker(estimator, grid)
        assert found.own
        assert not found.estimator_is_member
        assert [document["estimator"] for document in documents] == ["DecisionTreeClassifier", "BaggingClassifier"]
    # What is set inside goes into the estimators that the grid brings.
    bagging = BaggingClassifier(TREE, random_state=0)
    _, _, documents = on_worker(None, {"estimator": [bagging], "estimator__max_depth": [1], "n_estimators": [2]})
    expected = clone(bagging).set_params(estimator__max_depth=1, n_estimators=2)
    splits = KFold(3).split(X)
    assert documents[0]["split_test_score"] == [
        clone(expected).fit(X[train], Y[train]).score(X[test], Y[test]) for train, test in splits
    ]


def test_a_study_of_such_a_step_has_another_id_than_before() -> None:
    found = check_estimators(STEPS, Space({"estimator": [SVC()]}))
    assert (found.own, found.estimator_is_member) == (False, True)
    parameter = check_estimators(BaggingClassifier(), Space({"estimator": [TREE]}))
    assert (parameter.own, parameter.estimator_is_member) == (False, False)

    class _Objective:
        def identity(self) -> dict[str, Any]:
            return {}

    objective: Any = _Objective()
    assert _study_id("it", objective, []) == _study_id("it", objective, [], member=False)
    assert _study_id("it", objective, []) != _study_id("it", objective, [], member=True)


def test_what_is_no_parameter_is_no_way_in() -> None:
    assert not takes_estimator(None, [{"estimator": [SVC()]}])
    assert not takes_estimator(SVC(), [{"estimator": [SVC()]}])
    assert takes_estimator(STEPS, [])
    with pytest.raises(InputError, match="SVC has no parameter 'steps'"):
        check_estimators(STEPS, Space({"estimator": [SVC()], "estimator__steps": [1]}))
