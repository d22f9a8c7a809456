"""Which trials ask for a GPU, in the words of each library, wherever in an estimator of estimators
they say it."""

from __future__ import annotations

from typing import Any

import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import KerasModel
from producer.space.space import Space
from producer.validation import check_estimators, choose_device
from warren.encoding.codec import Json, decode, encode
from warren.errors import InputError
from warren.libraries.devices import mentions_gpu, on_cpu, on_one_gpu, wants_gpu
from warren.libraries.resolve import resolve

CUDA, TREES = XGBClassifier(device="cuda"), XGBClassifier()


def json_of(value: Any) -> Json:
    return encode(value, "value")


def pipeline(last: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("clf", last)])


def voting(*members: Any) -> VotingClassifier:
    return VotingClassifier([(f"m{number}", member) for number, member in enumerate(members)])


ASKING: list[tuple[Any, dict[str, Any]]] = [
    (CUDA, {}),
    (XGBClassifier(device="cuda:1"), {}),
    (XGBClassifier(device="gpu"), {}),
    (XGBClassifier(tree_method="gpu_hist"), {}),
    (LGBMClassifier(device_type="gpu"), {}),
    (LGBMClassifier(device="CUDA"), {}),
    (CatBoostClassifier(task_type="GPU"), {}),
    (KerasModel(device="gpu"), {}),
    (TREES, {"device": "cuda:0"}),
    (LGBMClassifier(device="cpu"), {"device_type": "cuda"}),
    (CatBoostClassifier(task_type="CPU"), {"task_type": "GPU"}),
    (KerasModel(), {"device": "gpu"}),
    (pipeline(CUDA), {}),
    (pipeline(pipeline(CUDA)), {}),
    (pipeline(TREES), {"clf__device": "cuda"}),
    (pipeline(pipeline(TREES)), {"clf__clf__device": "gpu"}),
    (pipeline(LogisticRegression()), {"clf": CUDA}),
    (pipeline(LogisticRegression()), {"clf": TREES, "clf__device": "cuda"}),
    (pipeline(LogisticRegression()), {"steps": [("a", StandardScaler()), ("b", CUDA)]}),
    (voting(LogisticRegression(), CUDA), {}),
    (voting(TREES, LogisticRegression()), {"m0__device": "cuda"}),
    (voting(LogisticRegression(), TREES), {"m0": CUDA}),
    (StackingClassifier([("a", LogisticRegression())], CUDA), {}),
    (BaggingClassifier(TREES), {"estimator__device": "cuda"}),
    (BaggingClassifier(), {"estimator": CUDA}),
    (Pipeline([("pick", SelectFromModel(CUDA)), ("clf", LogisticRegression())]), {}),
    (ColumnTransformer([("pick", SelectFromModel(CUDA), [0])]), {}),
    (GridSearchCV(TREES, {"device": ["cpu", "cuda"]}), {}),
    (GridSearchCV(TREES, {"max_depth": [2]}), {"param_grid": {"device": ["cuda"]}}),
    (GridSearchCV(pipeline(TREES), [{"clf": [CUDA]}]), {}),
]
SILENT: list[tuple[Any, dict[str, Any]]] = [
    (TREES, {}),
    (XGBClassifier(device="cpu", tree_method="hist"), {}),
    (LGBMClassifier(device_type="cpu", device="gpu"), {}),
    (KerasModel(builder_params={"device": "gpu"}), {}),
    (LogisticRegression(), {"C": 1.0}),
    (CUDA, {"device": "cpu"}),
    (LGBMClassifier(device="gpu"), {"device_type": "cpu"}),
    (CatBoostClassifier(task_type="GPU"), {"task_type": "CPU"}),
    (pipeline(CUDA), {"clf__device": "cpu"}),
    (pipeline(CUDA), {"clf": "passthrough"}),
    (pipeline(CUDA), {"clf": XGBClassifier(device="cpu")}),
    (pipeline(LogisticRegression()), {"clf": CUDA, "clf__device": "cpu"}),
    (pipeline(CUDA), {"steps": [("a", StandardScaler()), ("b", TREES)]}),
    (voting(CUDA, LogisticRegression()), {"m0": TREES}),
    (voting(CUDA, LogisticRegression()), {"m0": "drop"}),
    (BaggingClassifier(CUDA), {"estimator": DecisionTreeClassifier()}),
]


@pytest.mark.parametrize(("estimator", "params"), ASKING)
def test_a_gpu_is_asked_for_in_every_library_s_words_and_at_any_depth(estimator: Any, params: dict[str, Any]) -> None:
    assert wants_gpu(json_of(estimator), json_of(params))


@pytest.mark.parametrize(("estimator", "params"), SILENT)
def test_what_a_trial_sets_takes_the_place_of_what_the_estimator_says(estimator: Any, params: dict[str, Any]) -> None:
    assert not wants_gpu(json_of(estimator), json_of(params))


def test_what_is_set_on_an_estimator_that_no_message_shows_counts() -> None:
    assert wants_gpu({"__estimator__": "mine.Ensemble", "params": {}}, {"inner__device": "cuda"})


@pytest.mark.parametrize("estimator", [None, 3, {"__estimator__": "a.B"}, {"__estimator__": "a.B", "params": []}, []])
def test_what_is_no_estimator_asks_for_nothing(estimator: Json) -> None:
    assert not wants_gpu(estimator, {"device": "cpu"})


@pytest.mark.parametrize(("estimator", "params"), ASKING)
def test_on_a_cpu_nothing_asks_any_more_and_all_else_stays(estimator: Any, params: dict[str, Any]) -> None:
    before = json_of(estimator), json_of(params)
    after = on_cpu(before[0]), on_cpu(before[1])
    assert not mentions_gpu([*after])
    assert (json_of(estimator), json_of(params)) == before, "what was given is as it was"
    assert type(decode(after[0])) is type(estimator)


@pytest.mark.parametrize(("estimator", "params"), SILENT[:5])
def test_what_asks_for_nothing_is_the_same_on_a_cpu(estimator: Any, params: dict[str, Any]) -> None:
    encoded = json_of(estimator)
    assert on_cpu(encoded) == encoded
    assert on_cpu(json_of(params)) == json_of(params)


def test_who_owns_one_gpu_calls_it_the_first() -> None:
    assert on_one_gpu(json_of(pipeline(XGBClassifier(device="cuda:3")))) == json_of(pipeline(CUDA))
    assert on_one_gpu({"clf__device": "gpu:1", "clf__max_depth": 3}) == {"clf__device": "gpu", "clf__max_depth": 3}
    assert on_one_gpu({"clf__devices": "2:3", "depth": 6}) == {"clf__devices": "0", "depth": 6}
    described = json_of(pipeline(LGBMClassifier(device_type="cuda", gpu_device_id=1, num_gpu=2)))
    assert on_one_gpu(described) == json_of(pipeline(LGBMClassifier(device_type="cuda", gpu_device_id=0, num_gpu=1)))


@pytest.mark.parametrize(
    "estimator",
    [
        CUDA,
        XGBClassifier(tree_method="gpu_hist"),
        LGBMClassifier(device="gpu"),
        CatBoostClassifier(task_type="GPU", learning_rate=0.1),
        pipeline(CUDA),
    ],
)
def test_trials_on_a_gpu_share_no_fit(estimator: Any) -> None:
    assert resolve(json_of(estimator), {}).shared_key is None
    assert resolve(on_cpu(json_of(estimator)), {}).shared_key is not None


# ------------------------------------------------------------- submit(device=...)


def chosen(device: Any, estimator: Any, *grids: dict[str, list[Any]], allow: tuple[str, ...] = ()) -> tuple[Any, Space]:
    return choose_device(device, estimator, Space(list(grids) or {"max_depth": [3]}), allow)


@pytest.mark.parametrize(
    ("estimator", "name", "value"),
    [
        (XGBClassifier(max_depth=3), "device", "cuda"),
        (LGBMClassifier(max_depth=3, device="cpu"), "device_type", "gpu"),
        (CatBoostClassifier(task_type="CPU", depth=3), "task_type", "GPU"),
        (KerasModel(epochs=3), "device", "gpu"),
        (XGBClassifier(device="cuda:1"), "device", "cuda:1"),
        (LGBMClassifier(device_type="cuda"), "device_type", "cuda"),
    ],
)
def test_each_library_gets_its_own_word_and_the_user_s_object_none(estimator: Any, name: str, value: str) -> None:
    before = estimator.get_params()
    made, _ = chosen("gpu", estimator)
    assert made.get_params()[name] == value
    assert wants_gpu(json_of(made), {})
    assert estimator.get_params() == before
    back, _ = chosen("cpu", made)
    assert not wants_gpu(json_of(back), {})


def test_every_estimator_in_a_study_is_reached() -> None:
    logistic = LogisticRegression()
    _, space = chosen(
        "gpu",
        None,
        {"estimator": [TREES, logistic, pipeline(LGBMClassifier())]},
        {"estimator": [voting(TREES, logistic)], "m1": [CatBoostClassifier(), logistic]},
        {"estimator": [pipeline(logistic)], "steps": [[("net", KerasModel())]]},
    )
    first, second, third = space.grids
    assert [wants_gpu(json_of(one), {}) for one in first["estimator"]] == [True, False, True]
    assert first["estimator"][1] is logistic, "what has no GPU to use is not copied"
    assert wants_gpu(json_of(second["estimator"][0]), {"m0": None}) is False
    assert [wants_gpu(json_of(one), {}) for one in second["m1"]] == [True, False]
    assert mentions_gpu(json_of(third["steps"][0]))
    assert check_estimators(None, space).own


def test_the_cpu_is_what_is_there_already_unless_something_asks_for_a_gpu() -> None:
    same, space = chosen("cpu", TREES, {"max_depth": [1, 2]})
    assert same is TREES
    assert [*space] == [{"max_depth": 1}, {"max_depth": 2}]
    made, _ = chosen("cpu", pipeline(CUDA))
    assert made.get_params()["clf__device"] == "cpu"


def test_without_a_device_everything_is_as_it_was() -> None:
    space = Space({"clf__device": ["cuda"]})
    assert choose_device(None, CUDA, space) == (CUDA, space)


@pytest.mark.parametrize(
    ("device", "estimator", "grid", "message"),
    [
        ("gpu", TREES, {"device": ["cpu"]}, r"device='gpu': param_grid\['device'\] also sets the device"),
        ("gpu", pipeline(TREES), {"clf__device": ["cuda"]}, r"param_grid\['clf__device'\] also sets the device"),
        ("cpu", CatBoostClassifier(), {"task_type": ["GPU"]}, r"param_grid\['task_type'\] also sets the device"),
        ("cpu", TREES, {"tree_method": ["gpu_hist"]}, r"param_grid\['tree_method'\] also sets the device"),
        (
            "gpu",
            LogisticRegression(),
            {"C": [1.0]},
            r"device='gpu': no estimator of this study can use a GPU \(LogisticRegression\); XGBoost, LightGBM",
        ),
    ],
)
def test_a_device_that_can_not_be_is_refused(device: Any, estimator: Any, grid: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_device(device, estimator, Space(grid or {"max_depth": [1]}))


def test_ways_to_grow_a_tree_may_be_searched_on_a_gpu() -> None:
    _, space = chosen("gpu", TREES, {"tree_method": ["hist", "approx"]})
    assert space.size == 2


class OwnBooster(XGBClassifier):
    """A class of one's own that inherits from a library's."""


def test_a_class_of_one_s_own_that_inherits_from_a_library_is_set_too() -> None:
    name = f"{OwnBooster.__module__}.OwnBooster"
    made, _ = chosen("gpu", OwnBooster(max_depth=2), allow=(name,))
    assert (type(made), made.device, made.max_depth) == (OwnBooster, "cuda", 2)


def test_a_trial_of_more_parameters_than_anybody_sets_is_not_looked_into() -> None:
    many: dict[str, Json] = {f"a__b{number}": number for number in range(100_000)}
    assert not wants_gpu(json_of(TREES), many)
    assert wants_gpu(json_of(CUDA), {**many, "device": "cpu"}), "rather to a worker that can do both"
