"""Six rows of data, prepared as `submit` prepares them, and sent to a worker and read again."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from producer.space.space import Space
from producer.validation import check_estimators, prepare
from warren.errors import InputError
from warren.storage.dataset import Dataset, dataset_parts, read_dataset, write_parts

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])
ROW_LABELS = list("fedcba")
DAYS = pd.date_range("2020", periods=6)


def ready(X: Any = X, y: Any = Y, model: Any = None, **more: Any) -> Any:
    candidates = check_estimators(LogisticRegression() if model is None else model, Space([{}]))
    return prepare(X, y, candidates=candidates, **more)


def refuses(message: str, **more: Any) -> None:
    with pytest.raises(InputError, match=message):
        ready(**more)


def there_and_back(dataset: Dataset) -> Dataset:
    stream = io.BytesIO()
    write_parts(dataset_parts(dataset), stream)
    return read_dataset(stream.getvalue())
