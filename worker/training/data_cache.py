"""Cache of datasets, folds and values derived from them, limited in bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
from cachetools import LRUCache
from sklearn.utils import _safe_indexing

from warren.errors import InputError
from warren.messages import Objective
from warren.storage.dataset import Dataset, Indices, Split, matrix_bytes, read_dataset, read_splits
from worker.database import DatabaseAccess
from worker.fitting.learner import Fold, Part
from worker.training.fit_errors import line_of

T = TypeVar("T")
Watched: TypeAlias = Literal["nothing", "held out", "set apart"]
"""Part that early stopping watches: none, the held-out part, or separate rows."""


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A derived value, its size in bytes, and the seconds to compute it."""

    value: Any
    nbytes: int
    seconds: float


def _size(entry: Any) -> int:
    """Return the size of a cached entry in bytes."""
    match entry:
        case Dataset():
            return entry.nbytes
        case Fold():
            parts = [part for part in (entry.train, entry.test, entry.evaluation) if part is not None]
            return sum(matrix_bytes(side) for part in parts for side in part)
        case _Made():
            return entry.nbytes
    return sum(int(side.nbytes) for split in entry for side in split)


class KeptDerived:
    """Values derived from one fold, in a cache.

    Counts the seconds to compute them, and the seconds saved by the cache.

    Attributes
    ----------
    made_seconds : float
        Seconds spent to compute values that were not in the cache.
    saved_seconds : float
        Seconds that the values found in the cache had taken.
    """

    def __init__(self, entries: LRUCache[tuple[Any, ...], Any], fold: tuple[Any, ...]) -> None:
        self._entries = entries
        self._fold = fold
        self.made_seconds = 0.0
        self.saved_seconds = 0.0

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value under `key`, or compute it and keep it as `size` bytes."""
        full = ("derived", self._fold, key)
        found = self._entries.get(full)
        if found is None:
            made, saved = self.made_seconds, self.saved_seconds
            began = time.perf_counter()
            value = make()
            taken = time.perf_counter() - began
            # Its inputs may come from the cache; without it, this value would have taken longer.
            # Nothing is counted twice.
            found = _Made(value=value, nbytes=size(value), seconds=taken + self.saved_seconds - saved)
            self.made_seconds = made + taken
            _keep(self._entries, full, found)
        else:
            self.saved_seconds += found.seconds
        return cast("T", found.value)


def _keep(entries: LRUCache[tuple[Any, ...], Any], key: tuple[Any, ...], entry: Any) -> None:
    if _size(entry) <= entries.maxsize:
        entries[key] = entry


class DataCache:
    """Data that a training process keeps between chunks.

    Parameters
    ----------
    database : DatabaseAccess
        Reads the data.
    max_bytes : int
        Size of the cache; the least recently used entry is removed first. A larger entry is used
        but not kept.
    """

    def __init__(self, database: DatabaseAccess, max_bytes: int) -> None:
        self._database = database
        self._entries: LRUCache[tuple[Any, ...], Any] = LRUCache(max_bytes, getsizeof=_size)

    def dataset(self, digest: str) -> Dataset:
        """Return a dataset by its digest; read it from the database if it is not in the cache."""
        if (found := self._entries.get(("dataset", digest))) is None:
            found = _read(partial(read_dataset, name=digest), self._database.blob(digest), digest)
            _keep(self._entries, ("dataset", digest), found)
        return cast("Dataset", found)

    def splits(self, digest: str, most_rows: int) -> list[Split]:
        """Return the train and test indices of every fold.

        Read them from the database if they are not in the cache.

        Parameters
        ----------
        digest : str
            The digest of the splits.
        most_rows : int
            Rows of the data times the number of folds: the order of their size once decompressed.
        """
        if (found := self._entries.get(("splits", digest))) is None:
            read = partial(read_splits, name=digest, most_rows=most_rows)
            found = _read(read, self._database.blob(digest), digest)
            _keep(self._entries, ("splits", digest), found)
        return cast("list[Split]", found)

    def fold(
        self, objective: Objective, number: int, *, pairwise: bool = False, watched: Watched = "nothing"
    ) -> tuple[Fold, KeptDerived]:
        """Return the data of one fold, cut as in scikit-learn, and the values derived from it.

        Parameters
        ----------
        objective : Objective
            Names the data and the splits.
        number : int
            The fold.
        pairwise : bool, default=False
            Whether X is a kernel or distance matrix, so that its columns are cut too.
        watched : {"nothing", "held out", "set apart"}, default="nothing"
            What early stopping watches.

        Returns
        -------
        fold : Fold
            The data.
        derived : KeptDerived
            The values derived from it.

        Raises
        ------
        InputError
            Data, splits and number of splits don't match: no trial of the chunk can be evaluated.
        """
        apart = objective.validation if watched == "set apart" else None
        key = ("fold", objective.dataset, objective.splits, apart, number, pairwise)
        fold = cast("Fold | None", self._entries.get(key))
        if fold is None:
            fold = self._cut(objective, apart, number, pairwise=pairwise)
            _keep(self._entries, key, fold)
        if watched == "held out":
            fold = replace(fold, evaluation=fold.test)
        # The output of a transformer, and so what is derived from it, depends on scikit-learn's
        # configuration.
        return fold, KeptDerived(self._entries, (*key, objective.configuration))

    def _cut(self, objective: Objective, apart: str | None, number: int, *, pairwise: bool) -> Fold:
        data = self.dataset(objective.dataset)
        most_rows = data.X.shape[0] * objective.n_splits
        splits = self.splits(objective.splits, most_rows)
        if len(splits) != objective.n_splits:
            raise InputError(
                f"objective.n_splits={objective.n_splits}: blob {objective.splits[:12]} has {len(splits)} splits"
            )
        try:
            train, test = splits[number]
            evaluation = None
            if apart is not None:
                train, rows = self.splits(apart, most_rows)[number]
                evaluation = _part(data, rows, train if pairwise else None)
            return Fold(
                train=_part(data, train, train if pairwise else None),
                test=_part(data, test, train if pairwise else None),
                evaluation=evaluation,
            )
        except IndexError as exc:
            raise InputError(
                f"the splits in blob {objective.splits[:12]} are not of data in blob {objective.dataset[:12]}: {exc}"
            ) from exc


def _read(read: Callable[[bytes], T], blob: bytes, digest: str) -> T:
    """Decode a blob as the kind that a message claims, which may be wrong."""
    try:
        return read(blob)
    except Exception as exc:  # libraries may raise anything for foreign bytes, even MemoryError
        reason = line_of(exc)[:200]
        raise InputError(f"blob {digest[:12]} can't be read as what the chunk calls it ({reason})") from exc


def _part(data: Dataset, rows: Indices, columns: Indices | None) -> Part:
    return Part(
        X=_safe_indexing(data.X, rows) if columns is None else data.X[np.ix_(rows, columns)],
        y=None if data.y is None else _safe_indexing(data.y, rows),
        weight=None if data.sample_weight is None else data.sample_weight[rows],
    )
