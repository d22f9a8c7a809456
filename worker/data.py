"""Datasets and folds, fetched once by digest and kept while they are used, in a bounded number of bytes."""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
from cachetools import LRUCache
from sklearn.utils import _safe_indexing

from tuning.dataset import Dataset, Split, matrix_bytes, read_dataset, read_splits
from tuning.errors import StoreError
from tuning.retry import patiently
from tuning.store import Store
from worker.evaluate import Fold

logger = logging.getLogger(__name__)


def _size(entry: Any) -> int:
    """Bytes of a cached entry."""
    match entry:
        case Dataset():
            return entry.nbytes
        case Fold():
            return sum(matrix_bytes(part) for part in vars(entry).values())
    return sum(int(side.nbytes) for split in entry for side in split)


class DataCache:
    """What a training process keeps between chunks.

    Parameters
    ----------
    store : Store
        Where data comes from.
    max_bytes : int
        Bytes kept; the least recently used entry goes first. An entry larger than this is used and not kept.
    """

    def __init__(self, store: Store, max_bytes: int) -> None:
        self._store = store
        self._entries: LRUCache[tuple[Any, ...], Any] = LRUCache(max_bytes, getsizeof=_size)
        # A database that is away is no fault of the chunk's. Without an end: the worker ends this process when it must.
        self._retry = patiently(StoreError, "a chunk's data waits for the database", logger)

    def _keep(self, key: tuple[Any, ...], entry: Any) -> None:
        if _size(entry) <= self._entries.maxsize:
            self._entries[key] = entry

    def dataset(self, digest: str) -> Dataset:
        """Return a dataset by its digest, from the store when it is not kept."""
        if (found := self._entries.get(("dataset", digest))) is None:
            found = read_dataset(self._retry(self._store.datasets.get, digest))
            self._keep(("dataset", digest), found)
        return cast("Dataset", found)

    def splits(self, digest: str) -> list[Split]:
        """Return the train and test indices of every fold, from the store when they are not kept."""
        if (found := self._entries.get(("splits", digest))) is None:
            found = read_splits(self._retry(self._store.datasets.get, digest))
            self._keep(("splits", digest), found)
        return cast("list[Split]", found)

    def fold(self, dataset_digest: str, splits_digest: str, number: int, *, pairwise: bool) -> Fold:
        """Return the data of one fold, cut as scikit-learn's searches cut it.

        Parameters
        ----------
        dataset_digest, splits_digest : str
            Name the data and the splits.
        number : int
            Which fold.
        pairwise : bool
            X is a kernel or distance matrix, of which columns are cut too.

        Returns
        -------
        Fold
        """
        key = ("fold", dataset_digest, splits_digest, number, pairwise)
        if (found := self._entries.get(key)) is not None:
            return cast("Fold", found)
        data = self.dataset(dataset_digest)
        train, test = self.splits(splits_digest)[number]
        fold = Fold(
            X_train=data.X[np.ix_(train, train)] if pairwise else _safe_indexing(data.X, train),
            y_train=None if data.y is None else data.y[train],
            X_test=data.X[np.ix_(test, train)] if pairwise else _safe_indexing(data.X, test),
            y_test=None if data.y is None else data.y[test],
            weight_train=None if data.sample_weight is None else data.sample_weight[train],
            weight_test=None if data.sample_weight is None else data.sample_weight[test],
        )
        self._keep(key, fold)
        return fold
