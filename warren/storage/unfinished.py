"""What is known of trials that have not ended: folds, epochs, failed attempts.

The collection ``unfinished`` has one document per trial, under the trial's own id, which is deleted
when the trial has a result. So a worker that takes over a chunk starts at the first missing fold.
And a trial that ends its process can be told from one that was interrupted: attempts are counted
here, evictions are not.

There is also one document for each chunk that a worker has, under ``<study>/<generation>/<index>``:
the worker, when it was last active, and how many workers in a row have begun the chunk without
progress. One more, under that name and ``/lost``, lists the workers that lost their training
process with it before a trial began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pymongo
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from warren.storage.documents import Document
from warren.storage.mongo import Explained, StoreCollection

# Ids in one query: a server accepts 16 MiB, and an id has up to two hundred bytes.
_PAGE = 10_000
# By the server's clock, because the clocks of workers differ.
_SEEN: Document = {"$currentDate": {"seen_at": True}}


def pages(numbers: Iterable[Any]) -> Iterator[list[Any]]:
    """Divide numbers or ids of trials into lists that fit into one query."""
    left = iter(numbers)
    while page := list(islice(left, _PAGE)):
        yield page


@dataclass(frozen=True, kw_only=True)
class DoneFold:
    """A fold of a trial that has not ended.

    Attributes
    ----------
    study_id : str
        The study.
    number : int
        The trial.
    fold : int
        The fold.
    result : dict
        The fields of `worker.training.fit_and_score.FoldResult`.
    worker : str, default=""
        The worker that fitted it, and has the trial.
    at : datetime, default=None
        When it was done, UTC.
    """

    study_id: str
    number: int
    fold: int
    result: Mapping[str, Any]
    worker: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SeenEpochs:
    """Epochs of a network that is being trained.

    Attributes
    ----------
    study_id : str
        The study.
    number : int
        The trial.
    fold : int
        The fold.
    epochs : dict of str to list of float
        Loss and metrics by name, in the form of `worker.training.epochs.Curve`; empty if no curves
        are kept.
    network : int, default=0
        Number of the network within the fold's fit.
    kept : int
        Epochs in its last checkpoint.
    about : dict
        The first fields of the trial's document: ``estimator``, ``library``, ``params`` and
        ``started_at``.
    worker : str
        The worker that trains it.
    at : datetime
        When they were reported, UTC.
    """

    study_id: str
    number: int
    fold: int
    epochs: Mapping[str, Sequence[float]]
    kept: int
    about: Mapping[str, Any]
    worker: str
    at: datetime
    network: int = 0


@dataclass(frozen=True, kw_only=True)
class Try:
    """An attempt that ended the training process.

    Attributes
    ----------
    reason : str
        How it ended: a signal, an exit code, a limit.
    seconds : float
        Seconds from its beginning to its end.
    memory_bytes : int or None
        The most memory that its process held, if known.
    worker : str
        The worker.
    at : datetime
        When it ended, UTC.
    output : str, default=""
        The end of its output.
    """

    reason: str
    seconds: float
    memory_bytes: int | None
    worker: str
    at: datetime
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Training processes that were lost with a chunk before a trial began.

    Counted since the last progress of the chunk's study.

    Attributes
    ----------
    workers : frozenset of str
        Workers that lost one for which the chunk may be to blame.
    times : int
        How many of those were lost.
    killed : int
        How many were killed from outside.
    """

    workers: frozenset[str]
    times: int
    killed: int


class Unfinished(StoreCollection):
    """The collection ``unfinished`` of one database."""

    def __init__(self, collection: Collection[Document], explained: Explained) -> None:
        super().__init__(collection, explained)
        # Notes on who has a chunk are written often and need not wait for a disk: lost ones
        # are repeated.
        self._held = collection.with_options(write_concern=WriteConcern(w=1))

    def keep_folds(self, folds: Iterable[DoneFold]) -> None:
        """Write finished folds; writing one again changes nothing."""
        self._update(
            (
                fold.study_id,
                fold.number,
                {
                    "$set": {f"folds.{fold.fold}": dict(fold.result)}
                    | ({"last_seen": {"worker": fold.worker, "at": fold.at}} if fold.at else {})
                },
            )
            for fold in folds
        )

    def see_epochs(self, seen: Iterable[SeenEpochs]) -> None:
        """Write epochs of networks in training; they replace what was there for their fold."""
        self._update(
            (
                epochs.study_id,
                epochs.number,
                {
                    "$set": {
                        **epochs.about,
                        **({f"epochs.{epochs.fold}": dict(epochs.epochs)} if epochs.epochs else {}),
                        "last_seen": {"worker": epochs.worker, "at": epochs.at},
                    },
                    # The largest number so far: epochs that were lost and trained again are no
                    # progress. One number for each network, because the first of a fit may have
                    # more epochs than the later ones.
                    "$max": {f"epochs_kept.{epochs.fold}-{epochs.network}": epochs.kept},
                },
            )
            for epochs in seen
        )

    def in_training(self, study_id: str) -> list[Document]:
        """Return what is known of a study's trials with reported epochs, without their folds."""
        of_study = {"_id": {"$gte": f"{study_id}:", "$lt": f"{study_id};"}, "epochs": {"$exists": True}}
        with self._explained():
            return list(self._collection.find(of_study, {"folds": 0}))

    def add_try(self, study_id: str, number: int, attempt: Try) -> None:
        """Record an attempt that ended the process; recording one again changes nothing."""
        with self._explained():
            self._collection.update_one(
                {"_id": f"{study_id}:{number}"},
                {"$set": {"study_id": study_id, "number": number}, "$addToSet": {"tries": vars(attempt)}},
                upsert=True,
            )

    def abandon(self, study_id: str, numbers: Iterable[int], worker: str, at: datetime) -> None:
        """Note that a worker abandons trials before they end."""
        left = {"$set": {"last_seen": {"worker": worker, "at": at}}}
        self._update((study_id, number, left) for number in numbers)

    def take_over(self, study_id: str, notes: Mapping[int, Document]) -> None:
        """Note that trials were interrupted when their last worker was last active.

        Also in `notes`.

        Parameters
        ----------
        study_id : str
            The study.
        notes : mapping of int to dict
            From `of`. Their ``interrupted`` becomes a list of ``{"worker": str, "at": datetime}``.
        """
        left = {number: note["last_seen"] for number, note in notes.items() if "last_seen" in note}
        self._update(
            (study_id, number, {"$addToSet": {"interrupted": last}, "$unset": {"last_seen": ""}})
            for number, last in left.items()
        )
        # After the write, because the call may be repeated.
        for number, last in left.items():
            del notes[number]["last_seen"]
            notes[number].setdefault("interrupted", []).append(last)

    def _update(self, updates: Iterable[tuple[str, int, Document]]) -> None:
        """Change the documents of trials, by study and number; a missing one is created."""
        operations = [
            pymongo.UpdateOne(
                {"_id": f"{study_id}:{number}"},
                update | {"$set": {"study_id": study_id, "number": number} | update.get("$set", {})},
                upsert=True,
            )
            for study_id, number, update in updates
        ]
        if not operations:
            return
        with self._explained():
            self._collection.bulk_write(operations, ordered=False)

    def of(self, study_id: str, numbers: Iterable[int]) -> dict[int, Document]:
        """Return what is known of some trials, by number; unknown ones are absent."""
        with self._explained():
            return {
                document["number"]: document
                for page in pages(numbers)
                for document in self._collection.find({"_id": {"$in": [f"{study_id}:{number}" for number in page]}})
            }

    def drop(self, study_id: str, numbers: Iterable[int]) -> None:
        """Delete what is known of trials that have ended."""
        with self._explained():
            for page in pages(numbers):
                self._collection.delete_many({"_id": {"$in": [f"{study_id}:{number}" for number in page]}})

    def drop_study(self, study_id: str) -> None:
        """Delete everything about a study."""
        # Up to the character after each separator: one range of the id index each.
        of_study = [{"_id": {"$gte": f"{study_id}{mark}", "$lt": f"{study_id}{chr(ord(mark) + 1)}"}} for mark in ":/"]
        with self._explained():
            self._collection.delete_many({"$or": of_study})

    # ------------------------------ chunks

    def chunk_begins(
        self, chunk: str, done: int, worker: str, held_seconds: float, *, again: bool, trials: int = 1
    ) -> int:
        """Note that a worker begins a chunk, and has it from now on.

        Parameters
        ----------
        chunk : str
            ``<study>/<generation>/<index>``.
        done : int
            Its folds and trials that exist by now.
        worker : str
            The worker.
        held_seconds : float
            How long the chunk stays its own without a further note.
        again : bool
            Whether another worker may have had it before.
        trials : int, default=1
            How many of its trials have no result.

        Returns
        -------
        int
            How many workers in a row before this one have begun it, and vanished without progress.
        """
        with self._explained():
            before = self._collection.find_one({"_id": chunk}) if again else None
            vanished = before["begun"] if before and before["done"] == done else 0
            note = {"begun": vanished + 1, "done": done, "trials": trials, "worker": worker}
            change = {"$set": note | {"held_seconds": held_seconds}, **_SEEN}
            self._held.update_one({"_id": chunk}, change, upsert=True)
        return int(vanished)

    def chunk_held(self, chunk: str, worker: str, held_seconds: float, *, trials: int = 1) -> None:
        """Note that a worker still has a chunk; parameters as for `chunk_begins`."""
        # Create the note again if it is gone: a new primary may not have it, or the worker that had
        # the chunk before deleted it.
        note = {"begun": 1, "done": 0, "trials": trials, "held_seconds": held_seconds}
        with self._explained(), suppress(DuplicateKeyError):  # another worker has it too
            self._held.update_one({"_id": chunk, "worker": worker}, _SEEN | {"$setOnInsert": note}, upsert=True)

    def chunk_ends(self, chunk: str, worker: str) -> None:
        """Note that a worker has finished a chunk or returned it."""
        with self._explained():
            self._held.delete_one({"_id": chunk, "worker": worker})

    def holders(self) -> set[str]:
        """Return the workers that have a chunk, of any study."""
        return {note["worker"] for note in self._current_notes({})}

    def trials_in_hand(self, study_id: str) -> int:
        """Return how many trials of a study its current chunks had without a result at first.

        A worker that vanished counts until its broker must have requeued the chunk.
        """
        of_study = {"_id": {"$gte": f"{study_id}/", "$lt": f"{study_id}0"}}
        return sum(int(note["trials"]) for note in self._current_notes(of_study))

    def _current_notes(self, query: Document) -> list[Document]:
        with self._explained():
            found = list(self._collection.find({**query, "held_seconds": {"$gt": 0}}))
        moment = self.moment()  # by the clock of the notes
        return [note for note in found if (moment - note["seen_at"]).total_seconds() < float(note["held_seconds"])]

    def moment(self) -> datetime:
        """Return the time by the server's clock, UTC."""
        with self._explained():
            moment: datetime = self._collection.database.command("hello")["localTime"]
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def chunk_lost(self, chunk: str, worker: str, ended: int, *, blamed: bool) -> Losses:
        """Note that a worker lost its training process with a chunk before a trial began.

        Return all such losses.

        Parameters
        ----------
        chunk, worker : str
            The names of both.
        ended : int
            Number of trials of its study that have ended. Earlier losses are forgotten if it was
            smaller then: if a study makes progress, its data and libraries are fine.
        blamed : bool
            Whether the chunk may be at fault; not if the process was killed from outside.

        Returns
        -------
        Losses
            All losses since the last progress.
        """
        name = {"_id": f"{chunk}/lost"}
        with self._explained():
            found = self._collection.find_one(name) or {}
            known = found if found.get("ended") == ended else {}
            losses = Losses(
                workers=frozenset({*known.get("workers", ()), *([worker] if blamed else [])}),
                times=known.get("times", 0) + blamed,
                killed=known.get("killed", 0) + (not blamed),
            )
            note = vars(losses) | {"workers": sorted(losses.workers), "ended": ended}
            self._collection.replace_one(name, note, upsert=True)
        return losses
