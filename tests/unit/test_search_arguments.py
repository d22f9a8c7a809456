"""What a search refuses before any server is asked: scikit-learn's errors where it has some, ours
where it has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import uniform
from sklearn import config_context, model_selection
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import producer
from producer import GridSearchCV, RandomizedSearchCV
from producer.search.fit_params import weights_of
from warren.errors import InputError

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.arange(20) % 2
WEIGHTS = np.ones(20)
TREE = DecisionTreeClassifier()
GRID = {"max_depth": [1, 2]}


class NoScore(LinearSVC):
    """Has no score."""

    @property
    def score(self) -> Any:
        raise AttributeError


class BrokenKFold(KFold):
    """Says that it has one split."""

    def get_n_splits(self, *_: Any, **__: Any) -> int:
        return 1


def spent(cv: KFold) -> Any:
    """Return a generator that has nothing left."""
    splits = cv.split(X)
    list(splits)
    return splits


# A search that scikit-learn refuses too, and what its `fit` is given.
REFUSED: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "a value that is no list": (lambda cls: cls(TREE, {"max_depth": 1}), {}),
    "text for a list": (lambda cls: cls(TREE, {"max_depth": "1,2"}), {}),
    "no values": (lambda cls: cls(TREE, {"max_depth": []}), {}),
    "two dimensions": (lambda cls: cls(TREE, {"max_depth": np.ones((3, 2))}), {}),
    "no grids": (lambda cls: cls(TREE, []), {}),
    "a grid that is none": (lambda cls: cls(TREE, [{"max_depth": [1]}, 0]), {}),
    "a scorer that is none": (lambda cls: cls(TREE, GRID, scoring="sklearn"), {}),
    "a metric for a scorer": (lambda cls: cls(TREE, GRID, scoring={"a": accuracy_score}, refit="a"), {}),
    "scorers twice": (lambda cls: cls(TREE, GRID, scoring=["accuracy", "accuracy"]), {}),
    "no scorers": (lambda cls: cls(TREE, GRID, scoring={}), {}),
    "no score": (lambda cls: cls(NoScore(), {"C": [1]}), {}),
    "many metrics and no best": (lambda cls: cls(TREE, GRID, scoring=["accuracy", "recall"]), {}),
    "a best that is no metric": (lambda cls: cls(TREE, GRID, scoring=["accuracy", "recall"], refit="f1"), {}),
    "a refit of no kind": (lambda cls: cls(TREE, GRID, refit=3), {}),
    "lengths that differ": (lambda cls: cls(TREE, GRID), {"y": Y[:7]}),
    "no groups": (lambda cls: cls(TREE, GRID, cv=GroupKFold(2)), {}),
    "more splits than rows": (lambda cls: cls(TREE, GRID, cv=KFold(99)), {}),
    "one split": (lambda cls: cls(TREE, GRID, cv=1), {}),
    "a splitter that miscounts": (lambda cls: cls(TREE, GRID, cv=BrokenKFold(3)), {}),
    "splits that are spent": (lambda cls: cls(TREE, GRID, cv=spent(KFold(3))), {}),
    "an error score in words": (lambda cls: cls(TREE, GRID, error_score="ignore"), {}),
    "a kernel that is a list": (lambda cls: cls(SVC(kernel="precomputed"), {"C": [1]}), {"X": (X @ X.T).tolist()}),
    "a kernel that is no square": (lambda cls: cls(SVC(kernel="precomputed"), {"C": [1]}), {}),
    "no such parameter": (lambda cls: cls(TREE, {"depth": [1]}), {}),
}
# Where the texts differ, ours says more.
OTHER_TEXT = {"no such parameter"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.parametrize(
    ("case", "name"),
    [
        (case, name)
        for case in REFUSED
        for name in ("GridSearchCV", "RandomizedSearchCV")
        # A random search takes any iterable, and fails at the first draw.
        if name == "GridSearchCV" or case not in {"text for a list", "no values", "two dimensions"}
    ],
)
def test_what_scikit_learn_refuses_is_refused_with_its_error(case: str, name: str) -> None:
    make, given = REFUSED[case]
    data = {"X": X, "y": Y} | given
    raised = []
    for module in (model_selection, producer):
        with pytest.raises(Exception) as seen:
            make(getattr(module, name)).fit(**data)
        raised.append(seen.value)
    theirs, ours = raised
    assert isinstance(ours, type(theirs))
    if case not in OTHER_TEXT and str(ours) != str(theirs):
        # The fits' own errors, which scikit-learn collects.
        assert str(ours) in str(theirs)


OWN = {
    "name": 3,
    "n_chunks": 0,
    "share_fits": "yes",
    "trial_timeout": 0,
    "validation_fraction": 1.0,
    "priority": 10,
    "device": "cuda",
    "refit_on": "the moon",
}


@pytest.mark.parametrize("parameter", OWN)
def test_parameters_of_ours_are_checked_as_scikit_learn_checks_its_own(parameter: str) -> None:
    for search in (GridSearchCV(TREE, GRID), RandomizedSearchCV(TREE, GRID, n_iter=2)):
        search.set_params(**{parameter: OWN[parameter]})
        with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {type(search).__name__} must be"):
            search.fit(X, Y)
        assert clone(search).get_params()[parameter] == OWN[parameter]


def test_a_list_of_estimators_belongs_into_a_pipeline() -> None:
    with pytest.raises(InputError, match=r"Invalid parameter 'estimator' for estimator .*values of a pipeline's step"):
        GridSearchCV(TREE, {"estimator": [TREE]}).fit(X, Y)


@pytest.mark.parametrize(
    ("grid", "named"),
    [
        ({"max_dept": [1]}, r"^param_grid\['max_dept'\]"),
        ([{"max_depth": [1]}, {"max_dept": [1]}], r"^param_grid\[1\]\['max_dept'\]"),
    ],
)
def test_a_misspelt_parameter_is_named_as_the_user_wrote_its_grid(grid: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        GridSearchCV(DecisionTreeClassifier(), grid, cv=2).fit(X, Y)


def test_callbacks_are_refused() -> None:
    search = GridSearchCV(TREE, GRID)
    search._skl_callbacks = [object()]
    with pytest.raises(InputError, match=r"callbacks.*set_callbacks\(\).*verbose=1"):
        search.fit(X, Y)


@pytest.mark.parametrize(
    "scoring",
    [lambda estimator, X, y: 1.0, make_scorer(lambda y, predicted: 1.0), {"own": lambda estimator, X, y: 1.0}],
    ids=["a callable", "made of one", "in a dict"],
)
def test_a_scorer_that_is_code_is_refused_with_the_way_out(scoring: Any) -> None:
    with pytest.raises(InputError, match=r"a message must not run code.*(make_scorer|WARREN_ALLOW)"):
        GridSearchCV(TREE, GRID, scoring=scoring, refit="own").fit(X, Y)


def test_a_distribution_in_a_grid_is_refused() -> None:
    with pytest.raises(TypeError, match="needs to be a list or a numpy array"):
        GridSearchCV(Ridge(), {"alpha": uniform(0, 1)}).fit(X, X[:, 0])


# ---------------------------------------------------------------------------- fit's metadata

LAST = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])


@pytest.mark.parametrize(
    ("estimator", "given", "weighed"),
    [
        (TREE, {}, True),
        (TREE, {"sample_weight": None}, True),
        (TREE, {"sample_weight": WEIGHTS}, True),
        (LAST, {}, True),
        (LAST, {"clf__sample_weight": WEIGHTS}, False),
        (Pipeline([("first", StandardScaler()), ("rest", LAST)]), {"rest__clf__sample_weight": WEIGHTS}, False),
    ],
)
def test_weights_are_found_where_they_go(estimator: Any, given: dict[str, Any], weighed: bool) -> None:
    weights, weigh_scores = weights_of(estimator, None, given, {}, routed=False)
    assert weights is next(iter(given.values()), None)
    assert weigh_scores is weighed


@pytest.mark.parametrize(
    ("estimator", "given", "message"),
    [
        (
            TREE,
            {"eval_set": [(X, Y)]},
            "fit got eval_set: only sample_weight and groups can be sent.*validation_fraction",
        ),
        (LAST, {"sample_weight": WEIGHTS}, r"pass fit\(X, y, clf__sample_weight=...\)"),
        (LAST, {"scale__sample_weight": WEIGHTS}, "fit got scale__sample_weight: only clf__sample_weight"),
        (TREE, {"check_input": False, "sample_weight": WEIGHTS}, "fit got check_input"),
    ],
)
def test_what_else_fit_may_take_is_refused(estimator: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GridSearchCV(estimator, {}).fit(X, Y, **given)


@config_context(enable_metadata_routing=True)
def test_routes_that_a_worker_does_not_know_are_refused() -> None:
    asks = DecisionTreeClassifier().set_fit_request(sample_weight=True)
    weighed = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    unweighed = make_scorer(accuracy_score).set_score_request(sample_weight=False)
    renamed = make_scorer(accuracy_score).set_score_request(sample_weight="other")
    for scoring, given, message in (
        ({"a": weighed, "b": unweighed}, {"sample_weight": WEIGHTS}, "request it for all or none"),
        (renamed, {"sample_weight": WEIGHTS, "other": WEIGHTS + 1}, "only the fit's sample_weight can be sent"),
    ):
        with pytest.raises(InputError, match=message):
            GridSearchCV(asks, GRID, scoring=scoring, refit=False).fit(X, Y, **given)


def test_a_search_has_the_tags_of_its_estimator() -> None:
    for estimator in (SVC(kernel="precomputed"), SVC(), Ridge(), make_pipeline(StandardScaler(), LogisticRegression())):
        ours = GridSearchCV(estimator, {}).__sklearn_tags__()
        assert ours == model_selection.GridSearchCV(estimator, {}).__sklearn_tags__()


def test_nothing_of_a_fit_is_there_before_it() -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [1]})
    for name in ("study_", "classes_", "n_features_in_", "cv_results_", "best_estimator_", "transform"):
        assert not hasattr(search, name)
    assert hasattr(search, "predict_proba")
    assert not hasattr(search.set_params(refit=False), "predict_proba")
