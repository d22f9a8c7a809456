"""What users rely on, and what importing costs."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sklearn import model_selection

import producer
import warren
import warren.networks
import worker
from producer import GridSearchCV, RandomizedSearchCV, Study, local_stack, split_params, submit

ROOT = Path(__file__).resolve().parents[2]
BOOSTERS = {"xgboost", "lightgbm", "catboost"}
LEARNERS = {"sklearn", "tensorflow", "keras"} | BOOSTERS
# Modules that are run and never imported.
RUN = {"__main__", "guard", "cleanup"}


def loaded_by(*steps: str) -> list[set[str]]:
    """Return the top-level packages that a fresh interpreter has loaded after each of
    some steps."""
    look = "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    code = "\n".join(["import json, sys", *(f"{step}\n{look}" for step in steps)])
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    return [set(json.loads(line)) for line in ran.stdout.splitlines()]


def modules_of(package: ModuleType) -> list[str]:
    return [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]


def everything_of(package: ModuleType, but: frozenset[str] = frozenset()) -> str:
    """Return a statement that imports all modules but those that are run, and some others."""
    names = (name for name in modules_of(package) if name.rpartition(".")[2] not in RUN and name not in but)
    return f"import {', '.join([package.__name__, *names])}"


# ------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    "name",
    ["Cluster", "GridSearchCV", "KerasModel", "RandomizedSearchCV", "Study", "submit", "split_params", "local_stack"],
)
def test_public_names_are_there(name: str) -> None:
    assert name in producer.__all__
    assert getattr(warren, name) is getattr(producer, name)
    assert getattr(producer, name).__name__ == name
    assert getattr(producer, name).__doc__


@pytest.mark.parametrize("package", [producer, warren], ids=lambda package: package.__name__)
def test_a_package_offers_what_it_lists_and_nothing_else(package: ModuleType) -> None:
    assert sorted(package.__all__) == list(package.__all__) == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nonsense'"):
        _ = package.nonsense
    with pytest.raises(ImportError):
        exec(f"from {package.__name__} import nonsense")


def test_types_of_the_public_names_are_those_that_are_handed_on() -> None:
    stub = (ROOT / "warren/__init__.pyi").read_text()
    handed = re.findall(r"^from ([\w.]+) import (\w+) as \2$", stub, re.MULTILINE)
    assert sorted(name for _, name in handed) == warren.__all__
    for module, name in handed:
        assert getattr(importlib.import_module(module), name) is getattr(warren, name)


def test_lint_checks_the_docstrings_of_all_public_names() -> None:
    listed = re.search(r"^PUBLIC = ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    checked = [ROOT / path for path in listed[1].replace("\\\n", " ").split()]
    assert all(path.exists() for path in checked)
    for name in warren.__all__:
        source = Path(inspect.getsourcefile(getattr(warren, name)) or "").resolve()
        assert any(path == source or path in source.parents for path in checked), name
    assert ROOT / "warren/testing" in checked


@pytest.mark.parametrize("package", [warren, worker], ids=lambda package: package.__name__)
def test_the_other_packages_offer_their_modules_only(package: ModuleType) -> None:
    offered = {name for name in vars(package) if not name.startswith("_")}
    assert offered <= {name.rpartition(".")[2] for name in modules_of(package)}


@pytest.mark.parametrize("package", [producer, warren, worker], ids=lambda package: package.__name__)
def test_every_listed_name_of_every_module_exists(package: ModuleType) -> None:
    for name in modules_of(package):
        if name.rpartition(".")[2] in RUN:
            continue
        module = importlib.import_module(name)
        assert module.__doc__, name
        for listed in getattr(module, "__all__", []):
            assert hasattr(module, listed), f"{name}.{listed}"


# ------------------------------------------------------------------------- signatures


def test_submit_takes_what_it_always_took() -> None:
    found = inspect.signature(submit)
    shown = found.replace(
        parameters=[one.replace(annotation=one.empty) for one in found.parameters.values()],
        return_annotation=found.empty,
    )
    assert str(shown) == (
        "(estimator, param_grid, X, y=None, *, scoring=None, cv=5, groups=None, sample_weight=None, refit=None, "
        "n_chunks=None, share_fits=True, name=None, error_score=nan, return_train_score=False, trial_timeout=None, "
        "validation_fraction=None, priority=1, device=None)"
    )
    assert math.isnan(found.parameters["error_score"].default)
    assert found.return_annotation in (Study, "Study")


def test_the_other_calls_take_what_they_always_took() -> None:
    assert list(inspect.signature(split_params).parameters) == ["param_grid", "n_chunks"]
    assert next(iter(inspect.signature(local_stack).parameters)) == "workers"
    assert inspect.signature(local_stack).parameters["workers"].default == 2
    wait = inspect.signature(Study.wait).parameters
    assert [(name, wait[name].default) for name in ("timeout", "progress")] == [("timeout", None), ("progress", True)]
    assert list(inspect.signature(Study.attach).parameters) == ["study_id"]
    assert list(inspect.signature(Study.list).parameters) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(GridSearchCV, model_selection.GridSearchCV), (RandomizedSearchCV, model_selection.RandomizedSearchCV)],
)
def test_a_search_takes_what_scikit_learn_s_takes_and_what_a_study_needs(ours: type, theirs: type) -> None:
    own = ["name", "n_chunks", "share_fits", "trial_timeout", "validation_fraction", "priority", "device", "refit_on"]
    taken = inspect.signature(ours).parameters
    expected = inspect.signature(theirs).parameters
    assert list(taken) == [*expected, *own]
    for name, one in expected.items():
        assert taken[name].kind is one.kind
        assert repr(taken[name].default) == repr(one.default), name
    submitted = inspect.signature(submit).parameters
    assert {name: taken[name].default for name in own[:-1]} == {name: submitted[name].default for name in own[:-1]}
    assert taken["refit_on"].default == "workers"


@pytest.mark.parametrize("name", ["status", "wait", "results", "pause", "resume", "cancel", "retry_failed", "delete"])
def test_a_study_has_its_methods(name: str) -> None:
    method = getattr(Study, name)
    assert callable(method)
    assert method.__doc__


@pytest.mark.parametrize("name", ["cv_results_", "best_params_", "best_score_", "best_index_"])
def test_a_study_has_the_attributes_of_a_search(name: str) -> None:
    assert isinstance(inspect.getattr_static(Study, name), property)


# --------------------------------------------------------------------------- imports


def test_a_worker_starts_with_nothing_heavy() -> None:
    [start] = loaded_by("import worker.__main__")
    assert not start & (LEARNERS | {"numpy", "pandas", "pyarrow", "scipy", "producer"})


@pytest.mark.slow
def test_a_worker_imports_a_learner_only_for_its_estimators() -> None:
    trains = "import worker.__main__, worker.process.main, worker.training.evaluator, worker.fitting, sklearn.dummy"
    asked = "worker.fitting.learner_of(sklearn.dummy.DummyClassifier)"
    training, whole = loaded_by(f"{trains}; {asked}", everything_of(worker))
    assert not training & BOOSTERS
    assert "producer" not in whole


def test_the_contract_imports_neither_side_and_no_learner() -> None:
    # These two are imported where there is a frame, and so pandas.
    frames = {"warren.encoding.frames", "warren.encoding.cells"}
    networks = {name for name in modules_of(warren) if name.startswith("warren.networks.")}
    rules, found = loaded_by("import warren.messages", everything_of(warren, but=frozenset(frames | networks)))
    assert not rules & (LEARNERS | {"numpy"})
    assert not found & (LEARNERS | {"producer", "worker", "kubernetes", "pandas"})


def test_the_producer_starts_with_nothing_heavy() -> None:
    start, command = loaded_by("import producer; dir(producer); producer.__all__", "import producer.cli")
    assert not start & (LEARNERS | {"numpy", "pandas", "pika", "pymongo", "worker"})
    assert not command & (LEARNERS | {"numpy", "pandas", "pyarrow", "scipy", "worker", "kubernetes"})


@pytest.mark.slow
def test_the_producer_imports_no_booster_and_no_worker() -> None:
    [whole] = loaded_by(everything_of(producer))
    assert not whole & (BOOSTERS | {"worker"})


@pytest.mark.slow
def test_networks_are_described_without_tensorflow() -> None:
    described = (
        "warren.networks.KerasModel(hidden_layers=(8,)).get_params(), repr(warren.networks.KerasModel(epochs=3))"
    )
    start, found = loaded_by(
        "import warren.networks; dir(warren.networks)", f"{everything_of(warren.networks)}; {described}"
    )
    assert not start & (LEARNERS | {"numpy"})
    assert not found & (LEARNERS - {"sklearn"} | {"producer", "worker"})
