"""What is known of trials that have not ended: folds that are done, epochs of networks, tries that took a process down.

One document a trial, under the trial's own id, in the collection ``unfinished``. It goes away with the trial's result.
So whoever takes a chunk over starts at the first missing fold, and a trial that kills its process is told from one that
was at the wrong place: tries are counted here, evictions are not.

Beside them lies one document for each chunk that a worker has in hand, under ``<study>/<generation>/<index>``: who
that is, when it was last seen, and how many in a row have begun it with nothing done. One more, under that name and
``/lost``, says which workers have lost their training process with it before a trial began.
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

# Ids in a question: a server takes 16 MiB, and an id has up to two hundred bytes.
_PAGE = 10_000
# By the server's clock: those of workers differ.
_SEEN: Document = {"$currentDate": {"seen_at": True}}


def pages(numbers: Iterable[Any]) -> Iterator[list[Any]]:
    """Cut numbers or ids of trials into lists that a question has room for."""
    left = iter(numbers)
    while page := list(islice(left, _PAGE)):
        yield page


@dataclass(frozen=True, kw_only=True)
class DoneFold:
    """A fold of a trial that has not ended.

    Attributes
    ----------
    study_id : str
    number : int
        The trial.
    fold : int
    result : dict
        What `worker.training.fit_and_score.FoldResult` holds.
    worker : str, default=""
        Who fitted it, and has the trial in hand.
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
    number : int
        The trial.
    fold : int
    epochs : dict of str to list of float
        Loss and metrics by name, as `worker.training.epochs.Curve` has them; empty where no curves are kept.
    network : int, default=0
        Which of the networks that the fold's fit trains.
    kept : int
        Epochs that its last checkpoint holds.
    about : dict
        What the trial's document says from the beginning: ``estimator``, ``library``, ``params`` and ``started_at``.
    worker : str
        Who trains it.
    at : datetime
        When it was told, UTC.
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
    """A try that took its process down.

    Attributes
    ----------
    reason : str
        How it ended: a signal, an exit code, a limit.
    seconds : float
        Seconds from its begin to its end.
    memory_bytes : int or None
        The most that its process held, as far as it is known.
    worker : str
        Where.
    at : datetime
        When it ended, UTC.
    output : str, default=""
        The end of what it printed.
    """

    reason: str
    seconds: float
    memory_bytes: int | None
    worker: str
    at: datetime
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Training processes that were lost with a chunk before a trial began, since its study last got on.

    Attributes
    ----------
    workers : frozenset of str
        Who lost one for which the chunk may be to blame.
    times : int
        How many of those were lost.
    killed : int
        How many were killed by somebody.
    """

    workers: frozenset[str]
    times: int
    killed: int


class Unfinished(StoreCollection):
    """The collection ``unfinished`` of one database."""

    def __init__(self, collection: Collection[Document], explained: Explained) -> None:
        super().__init__(collection, explained)
        # Who holds what is written often, and is worth no wait for a disk: what is lost of it is written again.
        self._held = collection.with_options(write_concern=WriteConcern(w=1))

    def keep_folds(self, folds: Iterable[DoneFold]) -> None:
        """Write folds that are done; the same one again changes nothing."""
        self._update(
            (
                one.study_id,
                one.number,
                {
                    "$set": {f"folds.{one.fold}": dict(one.result)}
                    | ({"last_seen": {"worker": one.worker, "at": one.at}} if one.at else {})
                },
            )
            for one in folds
        )

    def see_epochs(self, seen: Iterable[SeenEpochs]) -> None:
        """Write epochs of networks in training, each in the place of what was there of its fold."""
        self._update(
            (
                one.study_id,
                one.number,
                {
                    "$set": {
                        **one.about,
                        **({f"epochs.{one.fold}": dict(one.epochs)} if one.epochs else {}),
                        "last_seen": {"worker": one.worker, "at": one.at},
                    },
                    # The most that there ever was: what is lost and trained again is no progress. Each network's own:
                    # the first of a fit may have more than those after it ever will.
                    "$max": {f"epochs_kept.{one.fold}-{one.network}": one.kept},
                },
            )
            for one in seen
        )

    def in_training(self, study_id: str) -> list[Document]:
        """Return what is known of a study's trials of which epochs were told, in no order, without their folds."""
        mine = {"_id": {"$gte": f"{study_id}:", "$lt": f"{study_id};"}, "epochs": {"$exists": True}}
        with self._explained():
            return list(self._collection.find(mine, {"folds": 0}))

    def add_try(self, study_id: str, number: int, one: Try) -> None:
        """Count a try that took a process down; the same one again changes nothing."""
        with self._explained():
            self._collection.update_one(
                {"_id": f"{study_id}:{number}"},
                {"$set": {"study_id": study_id, "number": number}, "$addToSet": {"tries": vars(one)}},
                upsert=True,
            )

    def abandon(self, study_id: str, numbers: Iterable[int], worker: str, at: datetime) -> None:
        """Note that a worker lets trials go in the middle, whatever it leaves of them."""
        left = {"$set": {"last_seen": {"worker": worker, "at": at}}}
        self._update((study_id, number, left) for number in numbers)

    def take_over(self, study_id: str, notes: Mapping[int, Document]) -> None:
        """Note that trials were interrupted where their last worker was seen last; in the notes too.

        Parameters
        ----------
        study_id : str
        notes : mapping of int to dict
            As `of` returns them. Their ``interrupted`` becomes a list of ``{"worker": str, "at": datetime}``.
        """
        left = {number: note["last_seen"] for number, note in notes.items() if "last_seen" in note}
        self._update(
            (study_id, number, {"$addToSet": {"interrupted": last}, "$unset": {"last_seen": ""}})
            for number, last in left.items()
        )
        # After it is written: the call may come again.
        for number, last in left.items():
            del notes[number]["last_seen"]
            notes[number].setdefault("interrupted", []).append(last)

    def _update(self, updates: Iterable[tuple[str, int, Document]]) -> None:
        """Change the documents of trials, by study and number; one that is not there is made."""
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
        """Return what is known of some trials, by number; those of which nothing is are absent."""
        with self._explained():
            return {
                document["number"]: document
                for page in pages(numbers)
                for document in self._collection.find({"_id": {"$in": [f"{study_id}:{number}" for number in page]}})
            }

    def drop(self, study_id: str, numbers: Iterable[int]) -> None:
        """Forget trials that have ended."""
        with self._explained():
            for page in pages(numbers):
                self._collection.delete_many({"_id": {"$in": [f"{study_id}:{number}" for number in page]}})

    def drop_study(self, study_id: str) -> None:
        """Forget everything of a study."""
        # The characters after the separators: one walk of the id index each.
        mine = [{"_id": {"$gte": f"{study_id}{mark}", "$lt": f"{study_id}{chr(ord(mark) + 1)}"}} for mark in ":/"]
        with self._explained():
            self._collection.delete_many({"$or": mine})

    # ------------------------------------------------------------------- chunks

    def chunk_begins(
        self, chunk: str, done: int, worker: str, held_seconds: float, *, again: bool, trials: int = 1
    ) -> int:
        """Note that a worker begins a chunk, and has it in hand.

        Parameters
        ----------
        chunk : str
            ``<study>/<generation>/<index>``.
        done : int
            Folds and trials of it that are there by now.
        worker : str
        held_seconds : float
            How long it may not be heard of, and the chunk is still its own.
        again : bool
            Whether somebody may have had it before.
        trials : int, default=1
            How many of its trials have no result.

        Returns
        -------
        int
            How many workers before this one have begun it, one after the other, and vanished with nothing more done.
        """
        with self._explained():
            before = self._collection.find_one({"_id": chunk}) if again else None
            vanished = before["begun"] if before and before["done"] == done else 0
            note = {"begun": vanished + 1, "done": done, "trials": trials, "worker": worker}
            change = {"$set": note | {"held_seconds": held_seconds}, **_SEEN}
            self._held.update_one({"_id": chunk}, change, upsert=True)
        return int(vanished)

    def chunk_held(self, chunk: str, worker: str, held_seconds: float, *, trials: int = 1) -> None:
        """Note that a worker still has a chunk in hand; parameters as for `chunk_begins`."""
        # Anew where the note is gone: a server that took over may not have it, or who had the chunk before removed it.
        note = {"begun": 1, "done": 0, "trials": trials, "held_seconds": held_seconds}
        with self._explained(), suppress(DuplicateKeyError):  # another worker has it in hand too
            self._held.update_one({"_id": chunk, "worker": worker}, _SEEN | {"$setOnInsert": note}, upsert=True)

    def chunk_ends(self, chunk: str, worker: str) -> None:
        """Note that a worker has ended its work on a chunk in good order, or gave it back."""
        with self._explained():
            self._held.delete_one({"_id": chunk, "worker": worker})

    def holders(self) -> set[str]:
        """Return the workers that have a chunk in hand, of whatever study."""
        return {one["worker"] for one in self._in_hand({})}

    def trials_in_hand(self, study_id: str) -> int:
        """Return how many trials of a study had no result when the workers began that have them in hand.

        A worker that vanished counts until its broker must have taken the chunk back.
        """
        mine = {"_id": {"$gte": f"{study_id}/", "$lt": f"{study_id}0"}}
        return sum(int(one["trials"]) for one in self._in_hand(mine))

    def _in_hand(self, mine: Document) -> list[Document]:
        with self._explained():
            found = list(self._collection.find({**mine, "held_seconds": {"$gt": 0}}))
        moment = self.moment()  # by the clock that has noted it
        return [one for one in found if (moment - one["seen_at"]).total_seconds() < float(one["held_seconds"])]

    def moment(self) -> datetime:
        """Return the time by the server's clock, UTC."""
        with self._explained():
            moment: datetime = self._collection.database.command("hello")["localTime"]
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def chunk_lost(self, chunk: str, worker: str, ended: int, *, blamed: bool) -> Losses:
        """Note that a worker has lost its training process with a chunk before a trial began; return all such losses.

        Parameters
        ----------
        chunk, worker : str
        ended : int
            Trials of its study that have ended: what was lost when they were others is forgotten, for where a study
            gets on its data and libraries are well.
        blamed : bool
            Whether the chunk may be at fault; not where somebody killed the process.
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
