"""Estimators and the names of their parameters."""

import warnings

import numpy as np
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.cluster import KMeans
from sklearn.datasets import make_regression
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

from producer.space.space import Space
from producer.validation import check_estimators
from warren.errors import InputError
from warren.libraries import lightgbm
from warren.libraries.registry import THREADS


def refuses(estimator, grids, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_estimators(estimator, Space(grids))


@pytest.mark.parametrize(
    ("estimator", "wanted"),
    [
        (XGBClassifier(), "eta alpha lambda gamma max_bin tree_method n_estimators huber_slope rate_drop seed"),
        (LGBMClassifier(), "num_iterations lambda_l2 feature_fraction bagging_fraction min_data_in_leaf path_smooth"),
        (LGBMRegressor(), "n_estimators num_leaves lambda sub_row extra_trees boosting cat_smooth max_bin"),
        (CatBoostRegressor(), "iterations depth l2_leaf_reg bagging_temperature border_count grow_policy"),
        (CatBoostClassifier(), "num_boost_round auto_class_weights eta rsm"),
        (RandomForestClassifier(), "n_estimators max_features ccp_alpha"),
    ],
)
def test_every_name_that_a_library_knows_is_taken(estimator, wanted: str):
    found = check_estimators(estimator, Space({name: [1] for name in wanted.split()}))
    assert found.estimators == (estimator,)
    assert not found.own


@pytest.mark.parametrize(
    ("estimator", "name", "offered"),
    [
        (XGBClassifier(), "max_dept", "max_depth"),
        (XGBClassifier(), "num_boost_round", "n_estimators"),
        (XGBRegressor(), "l2_leaf_reg", "reg_lambda"),
        (LGBMClassifier(), "depth", "max_depth"),
        (LGBMClassifier(), "num_leafs", "num_leaf"),
        (CatBoostClassifier(), "max_detph", "max_depth"),
        (CatBoostClassifier(), "feature_fraction", "rsm"),
        (RandomForestClassifier(), "n_estimator", "n_estimators"),
        (RandomForestClassifier(), "iterations", "n_estimators"),
        (LogisticRegression(), "zzz", ""),
    ],
)
def test_a_parameter_that_is_not_there_is_named_with_the_nearest_that_is(estimator, name: str, offered: str):
    kind = type(estimator).__name__
    refuses(
        estimator,
        {"random_state": [0], name: [1]},
        rf"param_grid\['{name}'\]: {kind} has no parameter '{name}'; the closest name is '{offered}",
    )


def test_lightgbm_aliases_are_taken_from_any_version(monkeypatch):
    monkeypatch.setattr(lightgbm, "_own_aliases", dict)
    check_estimators(LGBMClassifier(), Space({"anything": [1]}))


@pytest.mark.parametrize("name", ["eta", "shrinkage_rate", "max_leaves", "min_data_per_leaf", "l2_regularization"])
def test_a_lightgbm_alias_that_has_no_effect_is_refused(name: str):
    X, y = make_regression(200, 4, random_state=0)
    one, other = (
        LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1, **{name: value}).fit(X, y).predict(X) for value in (2, 30)
    )
    assert np.array_equal(one, other), "LightGBM has changed: it no longer ignores this alias"
    refuses(LGBMRegressor(), {name: [2, 30]}, f"LGBMRegressor ignores '{name}', because it always passes '.*'")


@pytest.mark.parametrize(
    ("name", "values"),
    [("lambda", (0, 50)), ("lambda_l2", (0, 50)), ("min_data", (1, 50)), ("sub_feature", (0.3, 1)), ("n_iter", (2, 5))],
)
def test_a_lightgbm_alias_that_has_an_effect_is_taken(name: str, values: tuple[float, float]):
    X, y = make_regression(200, 4, random_state=0)
    check_estimators(LGBMRegressor(), Space({name: values}))
    model = LGBMRegressor(n_jobs=1, verbose=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM says that it takes n_iter
        one, other = (model.set_params(**{name: value}).fit(X, y).predict(X) for value in values)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", sorted(THREADS))
@pytest.mark.parametrize("estimator", [XGBClassifier(), LGBMClassifier(), CatBoostClassifier()])
def test_a_grid_over_threads_is_refused(estimator, name: str):
    refuses(estimator, {name: [1, 2]}, rf"param_grid\['{name}'\]: each worker sets the number of threads itself")


def test_a_grid_over_threads_of_an_inner_estimator_is_refused():
    pipeline = Pipeline([("scale", StandardScaler()), ("model", RandomForestClassifier())])
    refuses(pipeline, {"model__n_jobs": [1]}, "number of threads")


@pytest.mark.parametrize(
    ("estimator", "pair"),
    [
        (XGBClassifier(), ("eta", "learning_rate")),
        (XGBClassifier(), ("lambda", "reg_lambda")),
        (LGBMClassifier(), ("n_estimators", "num_boost_round")),
        (LGBMClassifier(), ("lambda_l2", "reg_lambda")),
        (CatBoostClassifier(), ("iterations", "n_estimators")),
        (CatBoostClassifier(), ("depth", "max_depth")),
    ],
)
def test_two_names_of_one_parameter_are_refused(estimator, pair: tuple[str, str]):
    refuses(estimator, {name: [1] for name in pair}, f"'{pair[0]}'.* and .*'{pair[1]}'.* are the same parameter")


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (XGBClassifier(learning_rate=0.1), "eta"),
        (LGBMClassifier(lambda_l2=1.0), "reg_lambda"),
        (CatBoostClassifier(iterations=10), "n_estimators"),
    ],
)
def test_a_grid_over_a_second_name_of_what_the_estimator_sets_is_refused(estimator, name: str):
    refuses(
        estimator,
        {name: [1]},
        "are the same parameter: use the name '.*' in the grid, or leave it out of the estimator",
    )


def test_a_grid_may_replace_what_the_estimator_sets():
    check_estimators(XGBClassifier(eta=0.1), Space({"eta": [0.2]}))
    check_estimators(CatBoostClassifier(iterations=10), Space({"iterations": [20]}))


def test_parameters_of_inner_estimators_are_checked_in_their_own_words():
    pipeline = Pipeline([("scale", StandardScaler()), ("model", XGBClassifier())])
    check_estimators(pipeline, Space({"model__eta": [0.1], "scale__with_mean": [True]}))
    check_estimators(pipeline, Space({"scale": ["passthrough", None]}))
    refuses(pipeline, {"model__max_dept": [1]}, "XGBClassifier has no parameter 'max_dept'.*'model__max_depth'")
    refuses(pipeline, {"modell__eta": [1]}, "Pipeline has no parameter 'modell'; the closest name is 'model'")
    refuses(pipeline, {"model__eta__x": [1]}, "which has no parameter 'x'")


def test_an_inner_estimator_from_the_grid_is_the_one_that_counts():
    pipeline = Pipeline([("model", LogisticRegression())])
    check_estimators(pipeline, Space({"model": [XGBClassifier()], "model__eta": [0.1]}))
    refuses(pipeline, {"model": [XGBClassifier()], "model__C": [1]}, "XGBClassifier has no parameter 'C'")
    refuses(pipeline, {"model": ["passthrough"], "model__C": [1]}, "'model' is 'passthrough', which has no parameter")


def test_each_grid_may_bring_its_own_estimators():
    xgb, lgb, cat = XGBClassifier(), LGBMClassifier(), CatBoostClassifier()
    found = check_estimators(
        None,
        Space(
            [
                {"estimator": [xgb], "eta": [0.1], "n_estimators": [1]},
                {"estimator": [lgb, cat], "max_depth": [3]},
            ]
        ),
    )
    assert found.own
    assert found.encoded is None
    assert found.estimators == (xgb, lgb, cat)
    assert found.classifier


def test_a_parameter_must_exist_on_every_estimator_of_its_grid():
    refuses(
        None,
        [{"estimator": [LGBMClassifier()]}, {"estimator": [XGBClassifier(), LGBMClassifier()], "huber_slope": [1]}],
        r"param_grid\[1\]\['huber_slope'\]: LGBMClassifier has no parameter 'huber_slope'",
    )


def test_a_grid_with_its_own_estimators_replaces_the_studys():
    found = check_estimators(
        XGBClassifier(), Space([{"eta": [1]}, {"estimator": [CatBoostClassifier()], "depth": [3]}])
    )
    assert found.own
    assert [type(one) for one in found.estimators] == [XGBClassifier, CatBoostClassifier]
    assert found.encoded == {"__estimator__": "xgboost.XGBClassifier", "params": {}}


def test_estimator_is_a_plain_parameter_where_the_studys_estimator_has_one():
    space = Space({"estimator": [DecisionTreeClassifier()], "estimator__max_depth": [1, 2], "n_estimators": [5]})
    found = check_estimators(BaggingClassifier(), space)
    assert not found.own
    assert [type(one) for one in found.estimators] == [BaggingClassifier]


def test_without_a_first_argument_every_grid_needs_estimators():
    refuses(None, {"eta": [1]}, r"param_grid\['estimator'\] is missing")
    refuses(None, [{"estimator": [XGBClassifier()]}, {"eta": [1]}], r"param_grid\[1\]\['estimator'\] is missing")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (XGBClassifier, "estimator is the class XGBClassifier: pass an instance: XGBClassifier()"),
        ("xgboost", "estimator = 'xgboost' is not an estimator: pass an instance"),
        (StandardScaler.fit, "is not an estimator"),
    ],
)
def test_what_is_no_estimator_instance_is_refused(value, message: str):
    refuses(value, {"eta": [1]}, message.replace("()", r"\(\)"))
    refuses(None, {"estimator": [value]}, r"param_grid\['estimator'\]\[0\]")


class Homemade(LogisticRegression):
    pass


def test_a_class_off_the_allow_list_is_refused_and_may_be_allowed():
    refuses(Homemade(), {"C": [1]}, "not on the allow-list")
    name = f"{Homemade.__module__}.Homemade"
    assert check_estimators(Homemade(), Space({"C": [1]}), [name]).encoded == {"__estimator__": name, "params": {}}


def test_a_parameter_of_the_estimator_that_can_not_travel_is_named():
    refuses(XGBClassifier(objective=np.mean), {"eta": [1]}, r"estimator: XGBClassifier\(objective=...\)")


def test_classifiers_and_regressors_make_two_studies():
    refuses(None, {"estimator": [XGBClassifier(), LGBMRegressor()]}, "can't mix classifiers and regressors")
    refuses(None, {"estimator": [KMeans(), XGBClassifier()]}, "KMeans is neither, XGBClassifier is classifier")
    assert check_estimators(LGBMRegressor(), Space([{}])).kind == "regressor"
    assert check_estimators(KMeans(), Space([{}])).kind == "other"


def test_many_one_point_grids_are_checked_once():
    space = Space([{"eta": [value], "n_estimators": [5]} for value in range(20_000)])
    assert check_estimators(XGBClassifier(), space).estimators
