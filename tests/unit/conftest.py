"""What tests of a worker's evaluator share."""

from __future__ import annotations

from typing import Any

import pytest
from evaluating import Worker
from xgboost import XGBClassifier


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rounds of every fit that XGBoost itself makes, in order."""
    seen: list[int] = []
    fit = XGBClassifier.fit

    def spy(self: XGBClassifier, *data: Any, **how: Any) -> Any:
        seen.append(self.n_estimators)
        return fit(self, *data, **how)

    monkeypatch.setattr(XGBClassifier, "fit", spy)
    return seen
