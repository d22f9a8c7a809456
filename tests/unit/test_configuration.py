"""scikit-learn's configuration: what changes results is set on the workers as it is where a study
is submitted."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from evaluating import SETTINGS
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from unqueued import DEFAULTS, Unqueued, as_scikit_learn, scores

from producer.models.training import _definition
from producer.validation import configuration_here
from warren.encoding.codec import decode, encode_estimator
from warren.errors import InputError
from warren.messages import Objective
from warren.safety.parameter_checks import check_estimator
from warren.sklearn_config import NO_RESULT, Configuration
from worker.training.sklearn_config import configured

X, Y = make_classification(90, 5, n_informative=3, flip_y=0.2, random_state=3)
FRAME = pd.DataFrame(X, columns=list("abcde"))
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, 90)


def by_name() -> Pipeline:
    """A pipeline whose second step finds columns by the names that the first one's output has, if
    it has any."""
    named = make_column_transformer(
        (StandardScaler(), make_column_selector("a|b")), remainder="drop", verbose_feature_names_out=False
    )
    return Pipeline([("scale", StandardScaler()), ("names", named), ("clf", LogisticRegression())])


# -------------------------------------------------------------------------- what is sent


def test_every_setting_of_scikit_learn_travels_or_changes_no_result() -> None:
    settings = sklearn.get_config().keys()
    assert settings <= Configuration.model_fields.keys() | NO_RESULT
    assert settings >= NO_RESULT
    assert Configuration.model_fields.keys() - settings <= {"sparse_interface"}


def test_the_defaults_are_scikit_learn_s() -> None:
    assert configuration_here() == Configuration()
    assert configuration_here().changed() == {}


def test_what_is_set_here_is_read() -> None:
    with config_context(transform_output="pandas", working_memory=16, assume_finite=True, display="text"):
        assert configuration_here().changed() == {
            "transform_output": "pandas",
            "working_memory": 16,
            "assume_finite": True,
        }


def test_a_value_that_scikit_learn_does_not_know_is_refused() -> None:
    with (
        config_context(transform_output="arrow"),
        pytest.raises(InputError, match=r"transform_output='arrow'\): this value can't be sent"),
    ):
        configuration_here()


def test_a_setting_of_a_later_version_is_refused_unless_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sklearn.get_config() | {"rounding": "down"}
    monkeypatch.setattr(sklearn, "get_config", lambda: found)
    assert configuration_here() == Configuration()
    monkeypatch.setitem(sklearn._config._global_config, "rounding", "up")
    with pytest.raises(InputError, match=r"set_config\(rounding='down'\): this setting can't be sent"):
        configuration_here()


@pytest.mark.parametrize(
    "wrong",
    [{"transform_output": "arrow"}, {"working_memory": -1}, {"assume_finite": "yes"}, {"display": "text"}, {"x": 1}],
)
def test_a_message_may_set_nothing_else(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Configuration.model_validate(wrong)


def test_a_configuration_is_part_of_a_study_s_id() -> None:
    worker, tree = Unqueued(), DecisionTreeClassifier()
    usual = worker.submitted(tree, [{}], X, Y)
    assert "configuration" not in Objective.model_validate(usual.objective).identity()
    with config_context(print_changed_only=False):
        assert worker.submitted(tree, [{}], X, Y).id == usual.id
    with config_context(transform_output="pandas"):
        other = worker.submitted(tree, [{}], X, Y)
    assert other.id != usual.id
    assert Objective.model_validate(other.objective).identity()["configuration"] == {"transform_output": "pandas"}


# ------------------------------------------------------------------------------- on a worker


def test_a_worker_sets_all_of_it_and_puts_it_back() -> None:
    with config_context(assume_finite=True, working_memory=7):  # as its environment may say
        before = sklearn.get_config()
        with configured(Configuration(transform_output="pandas")):
            assert sklearn.get_config() == before | DEFAULTS | {"transform_output": "pandas"}
        assert sklearn.get_config() == before
        with pytest.raises(KeyError), configured(Configuration(skip_parameter_validation=True)):
            raise KeyError
        assert sklearn.get_config() == before


def test_a_worker_says_what_it_can_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    arrays, sparse = Configuration(array_api_dispatch=True), Configuration(sparse_interface="sparray")
    with pytest.raises(InputError, match="True} can't be set on this worker: .*SCIPY_ARRAY_API"), configured(arrays):
        pass
    old = {name: value for name, value in sklearn.get_config().items() if name != "sparse_interface"}
    monkeypatch.setattr(sklearn, "get_config", lambda: old)
    with pytest.raises(InputError, match="this worker has no setting sparse_interface='sparray'"), configured(sparse):
        pass


class Sees(ClassifierMixin, BaseEstimator):
    """Keeps scikit-learn's configuration as it was in each of its methods."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012 - an estimator's parameters are those of its constructor

    def fit(self, X: Any, y: Any) -> Sees:
        self.classes_ = np.unique(y)
        self.seen.append(sklearn.get_config())
        return self

    def predict(self, X: Any) -> Any:
        self.seen.append(sklearn.get_config())
        return np.zeros(len(X), dtype=int)


def test_fits_scores_and_models_see_it_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{__name__}.Sees"
    monkeypatch.setenv("WARREN_ALLOW", own)
    worker = Unqueued(WARREN_ALLOW=own)
    before = sklearn.get_config()
    with config_context(transform_output="pandas", assume_finite=True):
        here = sklearn.get_config()
        worker.evaluate(Sees(), [{}], X, Y)
        worker.model(Sees(), X, Y)
        assert sklearn.get_config() == here
    # Two predictions a fold are those of the held-out part alone: a fit and a score on each of
    # three folds, and a fit.
    assert [{**one, "display": ""} for one in Sees.seen] == [{**here, "display": ""}] * 7
    Sees.seen.clear()
    worker.evaluate(Sees(), [{}], X, Y)
    assert Sees.seen == [before] * 6
    Sees.seen.clear()


def test_a_chunk_that_is_put_aside_half_way_leaves_no_trace() -> None:
    worker = Unqueued()
    with config_context(transform_output="pandas"):
        trials = worker.trials(by_name(), {"clf__C": [0.1, 1.0]}, FRAME, Y)
    before = sklearn.get_config()
    next(trials)
    assert sklearn.get_config() == before


def test_output_as_frames_gives_scikit_learn_s_numbers() -> None:
    worker, grid = Unqueued(), {"clf__C": [0.1, 1.0]}
    for output in ("default", "pandas", "default"):
        with config_context(transform_output=output):
            documents = worker.evaluate(by_name(), grid, FRAME, Y)
            if output == "pandas":
                assert scores(documents) == as_scikit_learn(by_name(), grid, FRAME, Y)
            else:  # the second step is given an array, and finds no names
                assert {one["state"] for one in documents} == {"FAILED"}


def test_a_step_that_was_prepared_under_another_configuration_is_not_taken() -> None:
    """The first step's output, a frame or an array, is kept for the next study on the same data."""
    worker, grid = Unqueued(), {"clf__C": [0.1, 1.0]}
    model = Pipeline(
        [("scale", StandardScaler()), ("ask", FunctionTransformer(np.mean)), ("clf", LogisticRegression())]
    )
    model.set_params(ask__func=None, ask__validate=False)
    for output in ("default", "pandas"):
        with config_context(transform_output=output):
            worker.evaluate(model, grid, FRAME, Y)
            made = worker.model(model, FRAME, Y)
            assert hasattr(made["clf"], "feature_names_in_") == (output == "pandas")


def test_a_model_is_as_one_that_was_fitted_here() -> None:
    with config_context(transform_output="pandas"):
        ours = Unqueued().model(by_name(), FRAME, Y)
        theirs = by_name().fit(FRAME, Y)
        assert ours["clf"].feature_names_in_.tolist() == theirs["clf"].feature_names_in_.tolist() == ["a", "b"]
        assert ours[:-1].get_feature_names_out().tolist() == ["a", "b"]
        pd.testing.assert_frame_equal(ours[:-1].transform(FRAME), theirs[:-1].transform(FRAME))
        assert ours.predict_proba(FRAME).tolist() == theirs.predict_proba(FRAME).tolist()


def test_the_configuration_decides_what_is_out_of_range_or_missing() -> None:
    tree = DecisionTreeClassifier(random_state=0)
    [failed] = Unqueued().evaluate(tree, {"min_samples_leaf": [0.0]}, X, Y)
    assert "InvalidParameterError" in failed["error"]
    with config_context(skip_parameter_validation=True):
        found = Unqueued().evaluate(tree, {"min_samples_leaf": [0.0]}, X, Y)
        assert scores(found) == as_scikit_learn(tree, {"min_samples_leaf": [0.0]}, X, Y)


# ------------------------------------------------------------------------- metadata routing


def routed() -> dict[str, Any]:
    """Estimators that hand weights on to others, each with what these ask for."""
    return {
        "pipeline": make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
        ),
        "bagging": BaggingClassifier(
            LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=False),
            n_estimators=3,
            random_state=0,
        ),
    }


@pytest.mark.parametrize("name", ["pipeline", "bagging"])
@pytest.mark.parametrize("scored", ["its own score", "one metric", "two metrics"])
def test_weights_go_where_inner_estimators_ask_for_them(name: str, scored: str) -> None:
    with config_context(enable_metadata_routing=True):
        one = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        two = {"acc": accuracy_score, "f1": f1_score}
        scoring: Any = {
            "its own score": None,
            "one metric": one,
            "two metrics": {
                metric: make_scorer(function).set_score_request(sample_weight=True) for metric, function in two.items()
            },
        }[scored]
        given = {"fit": {"sample_weight": WEIGHTS}, "scoring": scoring}
        [document] = Unqueued().searched(routed()[name], [{}], X, Y, **given, refit=False)
        [theirs] = as_scikit_learn(routed()[name], [{}], X, Y, **given)
        assert document["error"] is None
        assert document[f"split_test_{'acc' if scored == 'two metrics' else 'score'}"] == theirs


def test_routing_changes_how_bagging_draws_and_so_its_numbers() -> None:
    """Without a request it draws rows where it would draw weights."""
    model = BaggingClassifier(LogisticRegression(), n_estimators=3, random_state=0)
    without = scores(Unqueued().evaluate(model, [{}], X, Y))
    assert without == as_scikit_learn(model, [{}], X, Y)
    with config_context(enable_metadata_routing=True):
        found = scores(Unqueued().evaluate(model, [{}], X, Y))
        assert found == as_scikit_learn(model, [{}], X, Y)


def test_a_model_asks_for_what_it_was_told_to_ask_for() -> None:
    with config_context(enable_metadata_routing=True):
        for model in routed().values():
            ours, theirs = Unqueued().model(model, X, Y), clone(model).fit(X, Y)
            assert repr(ours.get_metadata_routing()) == repr(theirs.get_metadata_routing())
            ours.fit(X, Y, sample_weight=WEIGHTS)


def test_a_model_of_a_study_that_routes_is_asked_for_anywhere() -> None:
    with config_context(enable_metadata_routing=True):
        model = routed()["pipeline"]
        study = Unqueued().submitted(model, [{}], X, Y)
        expected = encode_estimator(model, "estimator")
    store: Any = SimpleNamespace(study=lambda *_: study)
    assert _definition(store, SETTINGS, study.id, 0, model).objective["estimator"] == expected
    assert "requests" in json.dumps(expected)


def test_requests_are_no_part_of_a_study_where_nobody_routes() -> None:
    with config_context(enable_metadata_routing=True):
        model = routed()["pipeline"]
        asked = encode_estimator(model, "estimator")
    assert "requests" not in json.dumps(encode_estimator(model, "estimator"))
    back = decode(asked)
    assert back[-1]._metadata_request.fit.requests == {"sample_weight": True}
    with config_context(enable_metadata_routing=True):
        assert encode_estimator(back, "estimator") == asked


@pytest.mark.parametrize(
    "requests",
    [["fit"], {"__init__": {}}, {"fit": ["a"]}, {"fit": {"a": None}}, {"fit": {"a": 1}}, {"fit": {"a.b": True}}],
)
def test_a_message_may_request_nothing_but_metadata_by_name(requests: Any) -> None:
    encoded = {"__estimator__": "sklearn.svm.SVC", "params": {}, "requests": requests}
    with pytest.raises(InputError, match="is no estimator"):
        check_estimator(encoded, "estimator")
    with pytest.raises(InputError, match="misuses the reserved key"):
        decode(encoded)
