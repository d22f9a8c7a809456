"""The tables of refused parameters against the libraries that are installed.

A new version of a library may bring a parameter that reaches a file or code: a test here fails
then, until somebody has looked at it and put it into `refused` in the library's file in
`warren.libraries` (scikit-learn's into `warren.safety.denylist`) or into `HARMLESS`.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import sklearn
import xgboost
from lightgbm.basic import _ConfigAliases
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import all_estimators
from sklearn.utils.metaestimators import _BaseComposition

from warren.encoding.encoded import COMPOSITIONS, SEARCHES
from warren.errors import InputError
from warren.libraries.registry import ALLOWED_PACKAGES
from warren.libraries.xgboost import XGBOOST
from warren.safety.allowlist import dotted_name, resolve
from warren.safety.built_estimators import encoded_value
from warren.safety.denylist import EVERYWHERE, LABELLED, REFUSED
from warren.safety.keyword_arguments import KEYWORDS

# What a parameter that reaches a file, another machine or code may be called.
SUSPICIOUS = re.compile(
    r"(^|_)(\w*file\w*|paths?|dir|folder|memory|func|\w*callbacks?|hooks?|import|command|exec|plugin|preproc\w*|tokeni\w*"
    r"|\w*valid|machines?|mlist|hosts?|port|nodes?|model|snapshot|save\w*|load\w*|\w*cache\w*|log|borders|out|output|in"
    r"|input|config|data|dispatch|getter|names|kwargs|params|uri|url|forced\w*|results?|workers)(_|$)"
)
# Looked at, with what they are.
HARMLESS: dict[str, set[str]] = {
    "sklearn": {
        "cache_size",  # megabytes
        "fit_path",  # bool
        "path_method",  # one of three words
        "input_type",  # of FeatureHasher: one of three words
        "output_distribution",  # one of two words
        "dense_output",  # bools
        "sparse_output",
        "store_cv_results",
        "transform_input",  # names of metadata
        "init_params",  # how mixtures begin: one of four words
        "out_of_bounds",  # one of three words
        "max_leaf_nodes",
    },
    "xgboost": {"max_cached_hist_node", "fail_on_invalid_gpu_id"},  # a number, a bool
    "lightgbm": {
        *("path_smooth", "min_data", "min_data_in_bin", "min_data_in_leaf", "min_data_per_group", "min_data_per_leaf"),
        *("min_sum_hessian_in_leaf", "max_leaf_output", "max_tree_output", "max_leaf_nodes", "data_random_seed"),
        *("data_seed", "saved_feature_importance_type", "output_freq", "time_out"),
        "data_sample_strategy",  # one of two words
        "two_round_loading",  # how files are read, and none is
        "use_two_round_loading",
    },
    "catboost": {
        "pinned_memory_size",  # bytes
        *("model_size_reg", "model_shrink_rate", "best_model_min_trees", "min_data_in_leaf", "snapshot_interval"),
        "model_shrink_mode",  # one of two words
        "data_partition",
        "use_best_model",  # bool
        "tokenizers",  # how text is cut: options, none of them a path
        "device_config",  # of GPUs
        "class_names",
    },
}


def _constructors(package: Any) -> Iterator[tuple[str, str]]:
    """Yield every class of a package's public modules that a message may name, with each
    parameter of it."""
    modules = [package]
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that are there for older code
            try:
                resolve(f"{found.name}.NoSuchClass", inner=True)
            except InputError as exc:
                if "is no estimator class" in str(exc):
                    modules.append(import_module(found.name))
    for module in modules:
        for name, cls in vars(module).items():
            if name.startswith("_") or not isinstance(cls, type):
                continue
            try:
                resolve(f"{module.__name__}.{name}", inner=True)
            except InputError:
                continue
            for parameter in inspect.signature(cls).parameters:
                yield f"{module.__name__}.{name}", parameter


@pytest.fixture(scope="module")
def parameters() -> dict[str, set[str]]:
    """Every parameter that the installed libraries have, by library."""
    found: dict[str, set[str]] = {}
    for package in (sklearn, xgboost, lightgbm, catboost):
        found[package.__name__] = {parameter for _, parameter in _constructors(package)}
    found["xgboost"] |= XGBOOST.native
    for main, aliases in _ConfigAliases._get_all_param_aliases().items():
        found["lightgbm"] |= {main, *aliases}
    return found


# Of networks every parameter is written down, with what it may be: `test_networks_parameters`.
@pytest.mark.parametrize("library", sorted({*ALLOWED_PACKAGES} - {"networks"}))
def test_every_parameter_that_may_reach_a_file_or_code_was_looked_at(
    parameters: dict[str, set[str]], library: str
) -> None:
    assert len(parameters[library]) > 40
    suspicious = {name for name in parameters[library] if SUSPICIOUS.search(name)}
    unseen = suspicious - REFUSED[library].keys() - EVERYWHERE.keys() - HARMLESS[library]
    assert unseen == set(), "put each into the library's `refused`, or say here why it is harmless"
    assert HARMLESS[library] <= suspicious, "it is gone, or was never suspicious"


def test_every_callable_of_scikit_learn_is_refused_or_a_choice_of_words(parameters: dict[str, set[str]]) -> None:
    """Where scikit-learn takes a callable, JSON has none to give; text must be one of its own
    words, or be refused."""
    unchecked = set()
    for _, cls in all_estimators():
        for name, constraints in getattr(cls, "_parameter_constraints", {}).items():
            if not isinstance(constraints, list) or callable not in constraints or name in REFUSED["sklearn"]:
                continue
            if str in constraints:
                unchecked.add(name)
    # Looked up in scikit-learn's tables of scorers and of SciPy's metrics.
    assert unchecked <= {"scoring", "metric", "refit", "kernel", "affinity", "strip_accents", "strategy"}


def test_every_dict_of_keywords_has_its_list(parameters: dict[str, set[str]]) -> None:
    """Of a parameter that takes a dict, the keys are keywords of something that is called, or named
    by somebody."""
    found = {
        name
        for _, cls in all_estimators()
        for name, constraints in getattr(cls, "_parameter_constraints", {}).items()
        if isinstance(constraints, list) and dict in constraints
    }
    assert "pairwise_kernels_kwargs" in parameters["sklearn"], "kernels are looked at too"
    # By its name alone where scikit-learn says no more of it, as of kernels.
    named = {name for name in parameters["sklearn"] if re.search(r"(kwargs|kw_args|params|kwds)$", name)}
    found |= named - HARMLESS["sklearn"]
    searched = {*SEARCHES.values()}
    assert found == KEYWORDS.keys() | (LABELLED & found) | {"scoring"} | (searched & found)


def test_none_passes_a_rule_where_the_library_s_default_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library takes None for its own default: what it does then counts, not what the rule
    calls harmless."""
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    for library, cls, rounds in (
        ("catboost", catboost.CatBoostClassifier, {"iterations": 1, "silent": True}),
        ("lightgbm", lightgbm.LGBMClassifier, {"n_estimators": 1, "verbosity": -1}),
        ("xgboost", xgboost.XGBClassifier, {"n_estimators": 1}),
    ):
        for name, rule in REFUSED[library].items():
            params: dict[str, Any] = {name: None}
            if name != "allow_writing_files" and library == "catboost":
                params["allow_writing_files"] = False
            # It knows no such parameter, takes no None, or says what it makes of it.
            with suppress(TypeError, ValueError, catboost.CatBoostError, UserWarning):
                cls(**rounds, **params).fit(X, y)
            wrote = [*tmp_path.iterdir()]
            assert bool(wrote) == (not rule.allows(None)), name
            for one in wrote:
                shutil.rmtree(one)
    defaults = [
        (parameter, one.default)
        for _, cls in all_estimators()
        for parameter, one in inspect.signature(cls).parameters.items()
        if parameter in REFUSED["sklearn"]
    ]
    assert len(defaults) > 40
    assert all(REFUSED["sklearn"][name].allows(encoded_value(default)) for name, default in defaults)
    assert all(rule.allows(None) for rule in REFUSED["sklearn"].values())


def test_every_alias_of_a_refused_parameter_of_lightgbm_is_refused() -> None:
    for main, aliases in _ConfigAliases._get_all_param_aliases().items():
        group = {main, *aliases}
        assert group <= REFUSED["lightgbm"].keys() or group.isdisjoint(REFUSED["lightgbm"]), main


def test_lightgbm_reads_further_parameters_behind_a_space() -> None:
    """Why text with spaces is refused: the day that this fails, the rule may go."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)

    def leaves(**params: Any) -> int:
        # Not by its classes, which a worker guards.
        quiet = {"objective": "binary", "verbosity": -1, "num_threads": 1}
        model = lightgbm.train(quiet | params, lightgbm.Dataset(X, y), num_boost_round=1)
        return int(model.dump_model()["tree_info"][0]["num_leaves"])

    assert leaves() > 1
    assert leaves(metric="auc min_gain_to_split=1e9") == 1


def test_what_is_refused_hides_no_parameter_of_another_meaning() -> None:
    """Where a message does not show whose a name is, all tables count: none may refuse one of
    scikit-learn's own."""
    own = {name for _, cls in all_estimators() for name in inspect.signature(cls).parameters}
    for library in ("xgboost", "lightgbm", "catboost"):
        assert own & REFUSED[library].keys() <= {"callback"}


def test_every_class_that_a_message_may_name_is_a_library_s_own() -> None:
    for package in (sklearn, xgboost, lightgbm, catboost):
        for name, _ in _constructors(package):
            assert resolve(name, inner=True).__module__.partition(".")[0] in ALLOWED_PACKAGES


def test_every_composition_is_known_with_all_parameters_of_its_own() -> None:
    """A name that is none of them is a user's, and has no rules."""
    found = {dotted_name(cls): cls for _, cls in all_estimators() if issubclass(cls, _BaseComposition)}
    assert found.keys() == COMPOSITIONS.keys()
    for name, cls in found.items():
        known = COMPOSITIONS[name]
        assert known.members in known.own
        assert {*inspect.signature(cls).parameters} <= known.own, name


def test_every_search_is_known_with_what_it_sets() -> None:
    """Whatever sets parameters on another estimator, by names that a value of its own has."""
    classes = [cls for _, cls in all_estimators() if issubclass(cls, BaseSearchCV)]
    for cls in classes:
        [grid] = {"param_grid", "param_distributions"}.intersection(inspect.signature(cls).parameters)
        assert SEARCHES[f"sklearn.model_selection.{cls.__name__}"] == grid
    assert len(classes) >= 2
