"""What XGBoost deprecates is said once, by us, and only where the version here deprecates it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from producer.validation import deprecations
from producer.validation.deprecations import tell_deprecated
from worker.process import main


def estimator(name: str, **params: Any) -> dict[str, Any]:
    return {"__estimator__": name, "params": params}


DART = estimator("xgboost.XGBClassifier", booster="dart")
FOREST = estimator("xgboost.XGBRFRegressor")
PIPED = estimator("sklearn.pipeline.Pipeline", steps=[{"__tuple__": ["model", FOREST]}])


@pytest.fixture(autouse=True)
def _first_time() -> Iterator[None]:
    deprecations._tell.cache_clear()
    yield
    deprecations._tell.cache_clear()


def installed(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecations, "versions", lambda package: {package: version})


@pytest.mark.parametrize(
    ("encoded", "what", "instead"),
    [
        (DART, "booster='dart'", "rate_drop"),
        ([None, [{"booster": ["gbtree", "dart"], "n_estimators": [5]}]], "booster='dart'", "rate_drop"),
        ([PIPED, [{"model__booster": ["gblinear"]}]], "booster='gblinear'", "linear models"),
        (FOREST, "XGBRFRegressor", "num_parallel_tree"),
        ([PIPED, [{}]], "XGBRFRegressor", "num_parallel_tree"),
        ([None, [{"estimator": [FOREST]}]], "XGBRFRegressor", "num_parallel_tree"),
    ],
)
def test_what_is_deprecated_is_told_once_with_what_to_use(
    encoded: Any, what: str, instead: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed("3.4.1", monkeypatch)
    for _ in range(3):
        tell_deprecated(encoded)
    said = [record.getMessage() for record in caplog.records if what in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"XGBoost 3.4.1 deprecates {what} ")
    assert instead in said[0]


@pytest.mark.parametrize("version", ["3.2.0", "3.10.0"])
def test_an_older_version_is_told_nothing_and_a_newer_one_is(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(version, monkeypatch)
    tell_deprecated([DART, [{}]])
    assert bool(caplog.records) == (version != "3.2.0")


@pytest.mark.parametrize(
    "encoded",
    [
        estimator("xgboost.XGBClassifier", booster="gbtree"),
        estimator("lightgbm.LGBMClassifier", boosting_type="dart"),
        [estimator("xgboost.XGBClassifier"), [{"booster": [None, "gbtree"]}, {"booster": {"__range__": [0, 3]}}]],
    ],
)
def test_what_stays_is_not_mentioned(
    encoded: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed("3.4.1", monkeypatch)
    tell_deprecated(encoded)
    assert not caplog.records


def test_nothing_is_said_without_xgboost(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(deprecations, "versions", lambda package: {})
    tell_deprecated(DART)
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "category", "silent"),
    [
        ("[22:33:23] WARNING: /workspace/src/learner.cc:343: `booster=dart` is deprecated. Use ...", UserWarning, True),
        ("`XGBRFClassifier` is deprecated and will be removed in a future release. The ...", FutureWarning, True),
        ("[22:33:23] WARNING: Parameters: { max_dept } are not used.", UserWarning, False),
    ],
)
def test_a_training_process_hides_only_what_xgboost_deprecates(
    text: str, category: type[Warning], silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr(logging.getLogger("tensorflow"), "setLevel", lambda _: None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        main._quiet_libraries()
        warnings.warn_explicit(text, category, "training.py", 200, module="xgboost.training")
        warnings.warn_explicit(text, category, "own.py", 1, module="own")
    assert [one.filename for one in seen] == (["own.py"] if silent else ["training.py", "own.py"])
