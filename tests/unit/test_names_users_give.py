"""Steps, members and transformers may be called what their users like: what is refused are
parameters of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside import X, Y, assert_as_scikit_learn
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from producer.space.space import Space
from producer.validation import check_estimators
from producer.validation.devices import choose_device
from warren.encoding.codec import encode, encode_estimator
from warren.errors import InputError
from warren.libraries.devices import on_one_gpu
from warren.safety.denylist import REFUSED
from warren.safety.parameter_checks import TrialCheck, check_estimator
from warren.settings import Settings
from worker.training.candidate import Candidate

# What is refused of some class, what sounds like it, and what says where and with how many
# threads a fit runs.
REFUSED_NAMES = sorted(
    {name for rules in REFUSED.values() for name in rules}
    | {"log", "files", "some_path", "model_dir", "dmlc_x", "kwargs"}
    | {"n_jobs", "nthread", "num_threads", "thread_count", "device", "task_type", "device_type", "devices", "copy"}
)
# Of the compositions themselves, which scikit-learn refuses as names of members too.
OWN = {"memory", "verbose_feature_names_out", "n_jobs", "stack_method"}
FREE = [name for name in REFUSED_NAMES if name not in OWN]
SOME = ["preprocessor", "log", "input", "tokenizer", "callback", "data"]
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)


def compositions(name: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return a composition of each kind with a member of a name, and a grid that swaps it and sets
    something on it."""
    columns = ColumnTransformer([(name, StandardScaler(), [0, 1]), ("rest", "passthrough", [2, 3, 4])])
    inner = Pipeline([(name, MinMaxScaler())])
    return [
        (
            Pipeline([(name, StandardScaler()), ("clf", TREE)]),
            {name: [MinMaxScaler(), StandardScaler()], f"{name}__copy": [True]},
        ),
        (Pipeline([("scale", StandardScaler()), (name, SVC())]), {name: [SVC(), SVC(C=0.1)], f"{name}__C": [0.5, 1.0]}),
        (Pipeline([(name, StandardScaler()), ("clf", TREE)]), {name: ["passthrough", FunctionTransformer(np.square)]}),
        (Pipeline([("columns", columns), ("clf", TREE)]), {f"columns__{name}": [MinMaxScaler(), "drop"]}),
        (
            Pipeline([("union", FeatureUnion([(name, StandardScaler()), ("x", "passthrough")])), ("clf", TREE)]),
            {f"union__{name}": [MinMaxScaler(), "drop"]},
        ),
        (VotingClassifier([(name, SVC()), ("tree", TREE)]), {name: [SVC(C=0.1), "drop"]}),
        (
            StackingClassifier([(name, SVC()), ("tree", TREE)], cv=2),
            {name: [SVC(C=0.1)], f"{name}__C": [0.1, 1.0], "final_estimator": [TREE]},
        ),
        # Put there by the trial, and set in what it puts there.
        (
            Pipeline([("scale", StandardScaler()), ("clf", TREE)]),
            {"scale": [inner], f"scale__{name}": [StandardScaler(), "passthrough"]},
        ),
        (
            Pipeline([("scale", StandardScaler()), ("clf", TREE)]),
            {"steps": [[(name, StandardScaler()), ("clf", TREE)]], name: [MinMaxScaler(), "passthrough"]},
        ),
    ]


@pytest.mark.parametrize("name", FREE)
def test_no_name_of_a_member_is_taken_for_a_parameter(name: str) -> None:
    for estimator, grid in compositions(name):
        space = Space(grid)
        encoded = check_estimators(estimator, space).encoded
        for _, params in space.encoded_points():
            read(encoded, params)


@pytest.mark.parametrize(
    "name",
    [
        *SOME[:1],
        *(pytest.param(one, marks=pytest.mark.slow) for one in (*SOME[1:], "n_jobs_of_mine", "thread_count", "device")),
    ],
)
def test_members_of_any_name_are_swapped_as_in_scikit_learn(name: str) -> None:
    for estimator, grid in compositions(name):
        assert_as_scikit_learn(estimator, grid)


def test_a_member_may_have_the_name_of_another_composition_s_parameter() -> None:
    """A pipeline's step may not, for scikit-learn refuses it; whatever has no parameter of
    that name may."""
    columns = ColumnTransformer([("memory", StandardScaler(), [0, 1]), ("steps", "passthrough", [2])])
    assert_as_scikit_learn(VotingClassifier([("memory", SVC()), ("tree", TREE)]), {"memory": [SVC(C=0.1), "drop"]})
    assert_as_scikit_learn(
        Pipeline([("columns", columns), ("clf", TREE)]),
        {"columns__memory": [MinMaxScaler(), "passthrough"], "columns__steps": ["drop", "passthrough"]},
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log"])
def test_a_search_inside_swaps_members_of_any_name(name: str) -> None:
    steps = Pipeline([(name, StandardScaler()), ("clf", SVC())])
    grid = {name: [MinMaxScaler(), "passthrough"], "clf__C": [0.1, 1.0]}
    assert_as_scikit_learn(GridSearchCV(steps, grid, cv=2), {"estimator__clf": [SVC(), LogisticRegression()]})
    searches = [GridSearchCV(steps, [grid, {name: [StandardScaler()]}], cv=2), GridSearchCV(steps, {"clf__C": [1]})]
    assert_as_scikit_learn(Pipeline([("search", searches[0])]), {"search": searches})
    inside = Pipeline([("search", searches[1])])
    assert_as_scikit_learn(inside, {"search__param_grid": [grid, {"clf__C": [0.1]}], "search__estimator": [steps]})
    random = RandomizedSearchCV(steps, grid, n_iter=2, cv=2, random_state=0)
    assert_as_scikit_learn(random, {"n_iter": [1, 2]})


REACHES: dict[str, tuple[Any, dict[str, Any]]] = {
    "memory": (Pipeline([("memory", SVC())]), {"memory": ["/x"]}),
    "a deeper memory": (Pipeline([("log", Pipeline([("clf", SVC())]))]), {"log__memory": ["/x"]}),
    "a memory that a trial brings": (
        Pipeline([("log", SVC())]),
        {"log": [Pipeline([("memory", SVC())])], "log__memory": ["/x"]},
    ),
    "input": (Pipeline([("input", CountVectorizer())]), {"input__input": ["filename"]}),
    "an input that a trial brings": (
        Pipeline([("input", StandardScaler())]),
        {"input": [CountVectorizer()], "input__input": ["filename"]},
    ),
    "an input of new steps": (
        Pipeline([("log", StandardScaler())]),
        {"steps": [[("input", CountVectorizer())]], "input__input": ["filename"]},
    ),
    "tokenizer": (CountVectorizer(), {"tokenizer": ["x"]}),
    "names of features": (ColumnTransformer([("a", SVC(), [0])]), {"verbose_feature_names_out": ["{a.b}"]}),
    "a folder": (VotingClassifier([("log", CatBoostClassifier())]), {"log__train_dir": ["/x"]}),
    "a folder of what a trial brings": (
        VotingClassifier([("log", SVC())]),
        {"log": [CatBoostClassifier()], "log__train_dir": ["/x"]},
    ),
    "a name in a name": (Pipeline([("log", LGBMClassifier())]), {"log__fs": ["/x"]}),
    "a search inside": (GridSearchCV(CatBoostClassifier(), {"meta": ["/x"]}), {}),
    "a search of steps": (
        GridSearchCV(Pipeline([("meta", SVC())]), {"meta": [CatBoostClassifier()], "meta__meta": ["/x"]}),
        {},
    ),
    "a search of another estimator": (
        GridSearchCV(Pipeline([("meta", SVC())]), {"meta": ["/x"]}),
        {"estimator": [CatBoostClassifier()]},
    ),
    "a search of another estimator deeper": (
        BaggingClassifier(GridSearchCV(Pipeline([("clf", Pipeline([("meta", SVC())]))]), {"clf__meta": ["/x"]})),
        {"estimator__estimator__clf": [CatBoostClassifier()]},
    ),
    "a grid that a trial brings to a search": (
        GridSearchCV(CatBoostClassifier(), {"depth": [2]}),
        {"param_grid": [{"meta": ["/x"]}]},
    ),
    "both": (
        GridSearchCV(Pipeline([("meta", SVC())]), {}),
        {"param_grid": [{"meta": ["/x"]}], "estimator": [CatBoostClassifier()]},
    ),
    "a grid of a search that a trial brings": (
        Pipeline([("clf", SVC())]),
        {
            "clf": [GridSearchCV(Pipeline([("meta", SVC())]), {"meta": ["/x"]})],
            "clf__estimator": [CatBoostClassifier()],
        },
    ),
    "a second parameter in a name": (GridSearchCV(LGBMClassifier(), {"max_bin=5 fs": ["/x"]}), {}),
    "a second parameter in a name with a dot": (GridSearchCV(LGBMClassifier(), {"path_smooth=.5 fs": ["/x"]}), {}),
    "an estimator's list that is no list of members": (
        Pipeline([("a", CountVectorizer(vocabulary=[("input", "x")]))]),
        {"a__input": ["filename"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REACHES)
def test_a_parameter_of_a_class_stays_refused_on_both_sides(name: str) -> None:
    estimator, grid = REACHES[name]
    words = (
        "reaches|names a|reads |is called|is an alias of|is a format|no parameter of a boosting|can't name a parameter"
    )
    with pytest.raises(InputError, match=words):
        check_estimators(estimator, Space(grid or [{}]))
    params = {key: encode(values[0], key) for key, values in grid.items()}
    with pytest.raises(InputError, match=words):
        read(encode_estimator(estimator, "estimator"), params)


def read(estimator: Any, params: dict[str, Any]) -> None:
    """Check a trial as a worker does."""
    check_estimator(estimator, "objective.estimator")
    TrialCheck(estimator)(params, "trials.0.params")


def test_a_large_pipeline_has_steps_of_any_name_too() -> None:
    names = [f"a column with a rather long name {number}" for number in range(900)]
    columns = ColumnTransformer([("log", FunctionTransformer(np.log1p), names)])
    inner = Pipeline([("preprocessor", columns), ("clf", SVC())])
    space = Space({"search__preprocessor": [columns], "search__preprocessor__log": [StandardScaler(), "drop"]})
    encoded = check_estimators(Pipeline([("search", inner)]), space).encoded
    for _, params in space.encoded_points():
        TrialCheck(encoded)(params, "params")


def test_a_large_grid_of_a_search_is_not_read_anew_for_every_trial() -> None:
    large = {"a__C": [1.0] * 5000}
    search = GridSearchCV(Pipeline([("a", SVC())]), large)
    with pytest.raises(InputError, match="make whole searches values of the grid instead"):
        check_estimators(search, Space({"estimator": [Pipeline([("a", SVC())])]}))
    check_estimators(search, Space({"estimator__a__kernel": ["rbf"]}))
    check_estimators(Pipeline([("search", search)]), Space({"search": [search]}))


@pytest.mark.slow
def test_a_step_called_as_a_device_or_threads_is_one() -> None:
    steps = Pipeline([("device", StandardScaler()), ("clf", LGBMClassifier())])
    grid = {"device": [MinMaxScaler(), "passthrough"]}
    made, space = choose_device("gpu", steps, Space(grid))
    assert made["clf"].get_params()["device_type"] == "gpu"
    assert space.size == 2
    assert on_one_gpu({"devices": "passthrough", "devices__a": 1}) == {"devices": "passthrough", "devices__a": 1}
    nested = BaggingClassifier(Pipeline([("thread_count", MinMaxScaler()), ("clf", TREE)]), n_estimators=2)
    made = Candidate(encode(nested, "it"), {}, Settings(WARREN_THREADS=4))()
    assert type(made.estimator["thread_count"]) is MinMaxScaler
    assert made.fit(X, Y).score(X, Y) > 0


@pytest.mark.parametrize("values", [1, "a", None, {"__tuple__": 1}])
def test_values_of_a_grid_in_a_search_that_are_no_list_are_refused(values: Any) -> None:
    """A message's, for no encoder writes them; showing such a parameter ended the
    worker's chunk."""
    search = encode_estimator(GridSearchCV(LogisticRegression(), {"C": [1.0]}), "estimator")
    with pytest.raises(InputError, match="misuses the reserved key '__tuple__'"):
        TrialCheck(search)({"param_grid": {"C": {"__tuple__": values}}}, "params")
