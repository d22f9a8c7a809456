"""A bucket in memory, for what reads data and needs no server."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

from tuning.dataset import Dataset, Split, dataset_parts, digest, splits_parts, write_parts
from tuning.store import Store


class Blobs:
    """Keeps blobs by digest; fails some times before it answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked: list[str] = []
        self.content: dict[str, bytes] = {}

    def keep_dataset(self, dataset: Dataset) -> str:
        return self._keep(dataset_parts(dataset))

    def keep_splits(self, splits: list[Split]) -> str:
        return self._keep(splits_parts(splits))

    def _keep(self, parts: dict[str, Any]) -> str:
        stream = io.BytesIO()
        write_parts(parts, stream)
        self.content[digest(parts)] = stream.getvalue()
        return digest(parts)

    def get(self, name: str) -> bytes:
        self.asked.append(name)
        if self.failures:
            raise self.failures.pop(0)
        return self.content[name]

    @property
    def store(self) -> Store:
        """A store that has nothing but these blobs."""
        return cast("Store", SimpleNamespace(datasets=self))
