"""What the boosting libraries call their rounds and the rest, held against the libraries
themselves."""

from __future__ import annotations

import inspect
from typing import Any

import catboost
import lightgbm
import pytest
import xgboost
from lightgbm.basic import _ConfigAliases
from words import NEEDED, ROUNDS, encoded, fitted, share, shared

from warren.libraries.registry import BOOSTING
from warren.libraries.resolve import resolve

# ------------------------------------------------------------------------------ rounds


@pytest.mark.parametrize(("library", "name"), ROUNDS)
def test_every_name_for_rounds_is_read_as_the_library_reads_it(library: str, name: str) -> None:
    assert resolve(encoded(library), {name: 3}).rounds == fitted(library, **{name: 3}) == 3
    few, many = share(library, **{name: 3}), share(library, **{name: 30})
    assert few is not None
    assert many is not None
    assert (few.rounds, many.rounds) == (3, 30)
    assert few.key == many.key


@pytest.mark.parametrize("library", BOOSTING)
def test_no_name_for_rounds_is_left_out_or_made_up(library: str) -> None:
    assert sorted(BOOSTING[library].rounds) == sorted(name for one, name in ROUNDS if one == library)


def test_lightgbm_s_own_list_of_names_is_the_table_s() -> None:
    words = BOOSTING["lightgbm"]
    assert {*words.rounds} == _ConfigAliases.get("num_iterations")
    assert {*words.threads} == _ConfigAliases.get("num_threads")
    assert {*words.early_stopping} == _ConfigAliases.get("early_stopping_round")
    for name in ("boosting", "linear_tree", "device_type", "data_sample_strategy"):
        assert _ConfigAliases.get(name) <= words.only.keys()


@pytest.mark.parametrize("library", BOOSTING)
def test_without_a_word_about_rounds_they_are_the_library_s_default(library: str) -> None:
    found = share(library)
    assert found is not None
    assert found.rounds == BOOSTING[library].default_rounds == fitted(library)


@pytest.mark.parametrize(("library", "name"), ROUNDS)
def test_a_trial_s_rounds_count_before_the_estimator_s_of_the_same_name(library: str, name: str) -> None:
    found = shared(encoded(library, **{name: 7}, **NEEDED[library]), {name: 3})
    assert found is not None
    assert found.rounds == 3


def test_lightgbm_s_own_names_count_before_n_estimators() -> None:
    for name in {*BOOSTING["lightgbm"].rounds} - {"n_estimators"}:
        both = {"n_estimators": 7, name: 3}
        assert share("lightgbm", **both) is None
    assert fitted("lightgbm", **both) == 3


@pytest.mark.parametrize(
    ("library", "names"),
    [
        ("lightgbm", {"num_iterations": 5, "n_iter": 9}),
        ("lightgbm", {"num_tree": 5, "num_trees": 5}),
        ("lightgbm", {"num_tree": 5, "num_trees": 5, "n_estimators": 5}),
        ("catboost", {"iterations": 5, "num_trees": 9}),
        ("catboost", {"num_boost_round": 5, "num_trees": 9}),
    ],
)
def test_two_names_for_rounds_at_once_are_left_to_the_library(library: str, names: dict[str, int]) -> None:
    assert share(library, **names) is None
    first, *others = names
    assert resolve(encoded(library, **{first: 5}, **NEEDED[library]), dict.fromkeys(others, 9)).shared_key is None


@pytest.mark.parametrize("names", [{"iterations": 5, "n_estimators": 9}, {"num_trees": 5, "n_estimators": 5}])
def test_catboost_refuses_any_two_names_for_rounds_so_they_are_not_shared(names: dict[str, int]) -> None:
    with pytest.raises(catboost.CatBoostError, match="only one of the parameters"):
        fitted("catboost", **names)
    assert share("catboost", **names) is None


@pytest.mark.parametrize("name", ["n_estimators", "num_iterations", "n_iter"])
def test_lightgbm_takes_no_none_for_rounds_so_it_is_not_shared(name: str) -> None:
    with pytest.raises(TypeError):
        fitted("lightgbm", **{name: None})
    assert share("lightgbm", **{name: None}) is None


@pytest.mark.parametrize(("library", "name"), [("xgboost", "n_estimators"), ("catboost", "iterations")])
def test_none_for_rounds_is_left_to_the_library(library: str, name: str) -> None:
    assert fitted(library, **{name: None}) == BOOSTING[library].default_rounds
    assert share(library, **{name: None}) is None


@pytest.mark.parametrize(
    "rounds", [0, -1, 10.0, 2.5, "10", True, False, [10], {"__float__": "inf"}, {"__tuple__": [10]}], ids=repr
)
@pytest.mark.parametrize(("library", "name"), [next(one for one in ROUNDS if one[0] == lib) for lib in BOOSTING])
def test_rounds_that_are_no_whole_number_from_one_are_not_shared(library: str, name: str, rounds: Any) -> None:
    assert share(library, **{name: rounds}) is None
    found = share(library, **{name: 1})
    assert found is not None
    assert found.rounds == 1


# ------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("library", BOOSTING)
def test_a_word_has_one_meaning(library: str) -> None:
    words = BOOSTING[library]
    kinds = [{*words.free}, {*words.binning}, {*words.rounds}, {*words.threads}, words.only.keys()]
    assert sum(len(kind) for kind in kinds) == len(set().union(*kinds))
    assert not words.early_stopping.keys() & set().union(*kinds[:4])
    assert words.required <= words.free


def test_the_words_are_the_libraries_own() -> None:
    known = {
        # What XGBoost's classes pass to the core besides their own: names of doc/parameter.rst.
        "xgboost": {*xgboost.XGBClassifier().get_params()}
        | {"eta", "seed", "alpha", "lambda", "min_split_loss", "process_type"},
        "lightgbm": {*lightgbm.LGBMClassifier().get_params()}.union(
            *({name, *others} for name, others in _ConfigAliases._get_all_param_aliases().items())
        ),
        # verbose_eval is an argument of its fit.
        "catboost": {*inspect.signature(catboost.CatBoostClassifier.__init__).parameters} | {"verbose_eval"},
    }
    for library, words in BOOSTING.items():
        assert words.free | words.binning | words.only.keys() <= known[library]
