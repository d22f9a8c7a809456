"""A bucket in memory, for what reads data and needs no server."""

from __future__ import annotations

import io
from typing import Any, cast

from warren.storage.dataset import Dataset, Split, dataset_parts, digest, splits_parts, write_parts
from worker.database import DatabaseAccess


class Blobs:
    """Keeps blobs by digest, and notes which it was asked for."""

    def __init__(self) -> None:
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

    def blob(self, name: str) -> bytes:
        self.asked.append(name)
        return self.content[name]

    @property
    def supplies(self) -> DatabaseAccess:
        """What an evaluator gets: nothing but these blobs."""
        return cast("DatabaseAccess", self)
