"""The commands in this process, and a study for them that lies on no server."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from producer.cli import main
from producer.results.status import Status
from producer.results.study_reader import StudyReader

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG = {f"parameter_{number}": number / 7 for number in range(30)}


def status(**fields: Any) -> Status:
    given: dict[str, Any] = {
        "id": "cancer-0a1b2c",
        "name": "cancer",
        "state": "COMPLETE",
        "total": 4,
        "complete": 3,
        "failed": 1,
        "dead": 0,
        "fit_seconds": 10.0,
        "score_seconds": 1.0,
        "saved_seconds": 0.0,
        "best_score": 0.9,
        "best_number": 2,
        "created_at": WHEN,
        "finished_at": WHEN,
    }
    return Status(**(given | fields))


class FakeStudy:
    """A study of four trials, the last of them failed."""

    id, name = "cancer-0a1b2c", "cancer"
    refit = "auc"
    estimator_in_grid = True
    own_params = StudyReader.own_params

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.calls: list[str] = []

    def status(self) -> Status:
        return status(**self.fields)

    def wait(self, timeout: float | None, progress: bool) -> FakeStudy:
        self.calls.append("wait")
        if timeout == 0:
            raise TimeoutError
        if timeout == 1:
            raise KeyboardInterrupt
        return self

    def best_trials(self, n: int) -> list[dict[str, Any]]:
        order = [2, 0, 1]
        trials = [
            {
                "number": number,
                "estimator": "XGBClassifier",
                "params": {"estimator": "XGBClassifier()", **LONG},
                "mean_test_accuracy": 0.5,
                "std_test_accuracy": 0.1,
                "mean_test_auc": 0.9 - place / 10,
                "std_test_auc": 0.01,
                "mean_test_score": 0.9 - place / 10,
                "std_test_score": 0.01,
                "fit_seconds": 1.5,
            }
            for place, number in enumerate(order)
        ]
        return trials[:n]

    def results(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "number": [0, 1, 2, 3],
                "state": ["COMPLETE", "COMPLETE", "COMPLETE", "FAILED"],
                "params": [{"depth": 1}, {"depth": "two"}, {"sizes": (1, 2)}, {}],
                "param_depth": [1, "two", None, None],
                "param_sizes": [None, None, (1, 2), None],
                "mean_test_auc": [0.8, 0.7, 0.9, math.nan],
                "error": [None, None, None, "ValueError: no"],
                "finished_at": pd.to_datetime([WHEN, WHEN, WHEN, None], utc=True),
            }
        )

    def pause(self) -> None:
        self.calls.append("pause")

    cancel = pause

    def delete(self) -> None:
        self.calls.append("delete")

    def resume(self) -> int:
        return 2

    retry_failed = resume


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err
