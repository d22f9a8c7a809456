"""The registry of libraries, and what a trial is resolved to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightgbm import LGBMClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from warren.encoding.codec import encode_estimator
from warren.libraries.registry import ALLOWED_PACKAGES, BOOSTING, LIBRARIES, library_of
from warren.libraries.resolve import resolve
from warren.safety.allowlist import resolve as class_of
from worker.fitting import learner_of
from worker.fitting.learner import Learner

ROOT = Path(__file__).resolve().parents[2]
# Beside a library's own files: the command line's example, the format that XGBoost alone has, and
# its warnings.
NAMED_ELSEWHERE = {"producer/cli/demo.py", "producer/models/export.py", "worker/process/main.py"}


def encoded(estimator: Any) -> Any:
    return encode_estimator(estimator, "estimator")


def test_messages_may_name_scikit_learn_and_every_library() -> None:
    assert ALLOWED_PACKAGES == ("sklearn", "xgboost", "lightgbm", "catboost", "networks")


@pytest.mark.parametrize("package", LIBRARIES)
def test_every_class_of_a_library_has_a_learner_of_its_own(package: str) -> None:
    library = LIBRARIES[package]
    assert library.package == package
    for name in library.classes:
        assert library_of(name) is library
        assert type(learner_of(class_of(name))) is not Learner


def test_a_device_parameter_has_one_sense_in_all_libraries() -> None:
    senses: dict[str, set[Any]] = {}
    for library in LIBRARIES.values():
        for name, one in library.devices.items():
            senses.setdefault(name, set()).add((one.gpu, one.cpu, one.only))
    assert all(len(several) == 1 for several in senses.values())


def test_a_pipeline_is_resolved_to_its_last_step() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(max_depth=3, device="cuda"))])
    params = {"clf__n_estimators": 7, "clf__early_stopping_rounds": 2, "scale__with_mean": False}
    trial = resolve(encoded(pipeline), params)
    assert trial.library is LIBRARIES["xgboost"]
    assert (trial.prefix, trial.rounds) == ("clf__", 7)
    assert trial.params["max_depth"] == 3
    assert "scale__with_mean" in repr(trial.before)
    assert trial.stops_early
    assert trial.wants_gpu
    assert trial.shared_key is None


def test_trials_share_a_group_only_where_they_may() -> None:
    first, second = (resolve(encoded(LGBMClassifier()), {"n_estimators": rounds}) for rounds in (5, 9))
    assert first.group(0) == second.group(1)
    assert first.group(0, share=False) != second.group(1, share=False)
    alone = encoded(LGBMClassifier(boosting_type="dart"))
    assert resolve(alone, {"n_estimators": 5}).group(0) != resolve(alone, {"n_estimators": 9}).group(1)


def names_in(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, and the texts in its code."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module)):
                yield module
            case ast.Constant(value=str(text)):
                yield text


def test_a_boosting_library_is_named_in_its_own_files_alone() -> None:
    """To add one is to write these: CONTRIBUTING.md says which."""
    begins = re.compile(rf"([a-z]+\.)*({'|'.join(BOOSTING)})\b")
    found = {
        str(file.relative_to(ROOT))
        for room in ("warren", "producer", "worker")
        for file in (ROOT / room).rglob("*.py")
        if any(map(begins.match, names_in(file)))
    }
    own = {
        path.format(package)
        for package in BOOSTING
        for path in ("warren/libraries/{}.py", "producer/models/formats/{}.py", "worker/fitting/{}_fits.py")
    }
    lists = {"warren/libraries/registry.py", "producer/models/formats/registry.py"}
    probe = {"producer/models/formats/catboost_probe.py"}
    assert found == own | lists | probe | NAMED_ELSEWHERE
