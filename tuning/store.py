"""MongoDB: everything that Warren asks of it, in one file.

Two collections. ``studies`` holds one document a study: what was submitted, its state, and a running
count that costs one read to follow. ``trials`` holds one document a trial that has ended, under the id
``<study>:<number>``, so a trial has one result however often it was delivered: the first stays. A third,
``unfinished``, holds what is known of trials until then (`tuning.unfinished`).

The documents prove; the counts are a convenience. A worker that dies between the two leaves them too
low, and `Store.recount` sets them right from the documents.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReturnDocument, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from tuning.blobs import Blobs
from tuning.counts import GROUP, best_of, increments, totals
from tuning.errors import InputError, StoreError
from tuning.settings import Settings, redact
from tuning.tls import advice, mongo_options
from tuning.unfinished import Unfinished, pages

Document = dict[str, Any]

# MongoDB's code for a key that is there already; for an insert of a result that is success.
_DUPLICATE_KEY = 11000
# Seconds after which a server that has not answered is taken for away: a network that was cut says nothing. The longest
# question, a count of a study of 100,000 trials, took 4 s on a slow server.
_ANSWER_SECONDS = 60.0
# Seconds to say goodbye to a server.
_CLOSE_SECONDS = 1.0
# A standalone server acknowledges from memory unless the journal is asked for; "majority" is the word for both kinds.
_DURABLE = WriteConcern(w="majority", j=True)
# Indexes of the trials: one to count and to resume without opening a document, one that has the best first.
_COUNT_AND_RESUME = [("study_id", 1), ("state", 1), ("number", 1)]
_BEST_FIRST = [("study_id", 1), ("mean_test_score", -1), ("number", 1)]
# A third, for whoever watches a study: only what has ended since the last look is read.
_AS_THEY_ENDED = [("study_id", 1), ("finished_at", 1)]
_UTC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)


def trial_id(study_id: str, number: int) -> str:
    """Return the ``_id`` of a trial document."""
    return f"{study_id}:{number}"


def now() -> datetime:
    """Return the time, UTC, in the milliseconds that BSON keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def pack(document: Mapping[str, Any]) -> bytes:
    """Return a document as BSON bytes, to hand between processes."""
    return bson.encode(document)


def unpack(packed: bytes) -> Document:
    """Return the document that `pack` packed."""
    return bson.decode(packed, codec_options=_UTC)


class Store:
    """Studies, trials and data of one database.

    Parameters
    ----------
    settings : Settings
        Name the server and how long to wait for it. Nothing is sent before the first call.

    Raises
    ------
    StoreError
        From every method: the server is unreachable or refuses. The text carries no password.
    InputError
        The URL can't be read or names no database.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = redact(settings.mongo_url)
        self._settings = settings
        wait = int(settings.connect_seconds * 1000)
        options = mongo_options(settings)
        try:
            with warnings.catch_warnings():
                # They repeat what pymongo can't read of a URL, which may be a piece of the password.
                warnings.simplefilter("error", UserWarning)
                self._client: MongoClient[Document] = MongoClient(
                    settings.mongo_url,
                    serverSelectionTimeoutMS=wait,
                    connectTimeoutMS=wait,
                    socketTimeoutMS=int(_ANSWER_SECONDS * 1000),
                    appname="warren",
                    tz_aware=True,
                    tzinfo=UTC,
                    **options,
                )
            try:
                database = self._client.get_default_database()
            except ConfigurationError:
                self._client.close()
                raise
        except (InvalidURI, ConfigurationError, ValueError, UserWarning, OSError):
            # Without its cause: that repeats parts of the URL, and a traceback is shown in a notebook.
            raise InputError(
                f"MONGO_URL {self.url!r} can't be used: write mongodb://user:password@host:27017/tuning; "
                "the path names the database, and files that its options name must be there"
            ) from None
        self._studies = database.get_collection("studies", write_concern=_DURABLE)
        self._trials = database.get_collection("trials", write_concern=_DURABLE)
        self._raw_trials = database.get_collection(
            "trials", write_concern=_DURABLE, codec_options=CodecOptions(document_class=RawBSONDocument)
        )
        self.unfinished = Unfinished(database.get_collection("unfinished", write_concern=_DURABLE), self._explain)
        self.database = database.name
        self.datasets = Blobs(database.with_options(write_concern=_DURABLE), "datasets")
        self.models = Blobs(database.with_options(write_concern=_DURABLE), "models")

    def why_not(self) -> str | None:
        """Return why the database can't be used, as its driver last saw it, or None. Waits for nothing."""
        if self._client.topology_description.has_writable_server():
            return None
        return f"no MongoDB that takes writes answers at {self.url}"

    def close(self) -> None:
        """Close the connections; a server that is gone is not waited for."""
        with pymongo.timeout(_CLOSE_SECONDS):
            self._client.close()

    def _explain(self, exc: PyMongoError) -> StoreError:
        if isinstance(exc, OperationFailure) and exc.code in {13, 18}:
            return StoreError(
                f"MongoDB at {self.url} refused the user or password: check MONGO_URL (and its authSource)"
            )
        if said := advice(exc, self._settings):
            return StoreError(f"MongoDB at {self.url}: {said}")
        if isinstance(exc, pymongo.errors.ConnectionFailure):
            return StoreError(
                f"MongoDB at {self.url} can't be reached ({type(exc).__name__}): is it running, and is MONGO_URL "
                "right? On a laptop, `warren up` or local_stack() starts one"
            )
        return StoreError(f"MongoDB at {self.url} refused: {exc}")

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block in which every call ends, with a `StoreError` if need be, once so many seconds are over."""
        return pymongo.timeout(seconds)

    def ping(self) -> None:
        """Raise `StoreError` unless the server answers and the user may use the database."""
        try:
            self._client.admin.command("ping")
            self._studies.find_one({}, {"_id": 1})
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def prepare(self) -> None:
        """Create the indexes; harmless when they are there."""
        try:
            self._trials.create_index(_COUNT_AND_RESUME)
            self._trials.create_index(_BEST_FIRST)
            self._trials.create_index(_AS_THEY_ENDED)
            self._studies.create_index([("created_at", -1)])
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    # ------------------------------------------------------------------ studies

    def create_study(self, definition: Document) -> bool:
        """Write a study document unless it is there; return whether it was new.

        Parameters
        ----------
        definition : dict
            The study document; ``_id`` is its id.
        """
        try:
            self._studies.insert_one(definition)
        except DuplicateKeyError:
            return False
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        return True

    def update_study(self, study_id: str, update: Document, only_if: Document | None = None) -> Document | None:
        """Apply a MongoDB update to a study; return the document after it, or None where nothing matched."""
        try:
            return self._studies.find_one_and_update(
                {"_id": study_id, **(only_if or {})}, update, return_document=ReturnDocument.AFTER
            )
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def study(self, study_id: str, fields: Sequence[str] | None = None) -> Document | None:
        """Return a study document, or only some of its fields, or None."""
        try:
            return self._studies.find_one({"_id": study_id}, fields and dict.fromkeys(fields, 1))
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def delete_study(self, study_id: str) -> Document | None:
        """Delete a study with its trials; return its document, or None where there was none.

        The study goes first: from then on workers drop its chunks, and what they still write of it.
        """
        try:
            study = self._studies.find_one_and_delete({"_id": study_id})
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        self.delete_trials(study_id)
        return study

    def models_of(self, study_id: str) -> list[str]:
        """Return the ids of the studies whose one trial fits a model for a study."""
        try:
            return [found["_id"] for found in self._studies.find({"model_of": study_id}, {"_id": 1})]
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def studies(self, limit: int = 0, fields: Sequence[str] | None = None) -> list[Document]:
        """Return the searches, newest first; `limit` 0 is all of them, `fields` None all but their spaces."""
        try:
            projection = dict.fromkeys(fields, 1) if fields else {"space": 0}
            return list(self._studies.find({"model_of": None}, projection).sort("created_at", -1).limit(limit))
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def queue_shared(self, study_id: str, queue: str) -> bool:
        """Say whether another study that runs has its chunks in the same queue."""
        others = {"_id": {"$ne": study_id}, "state": "RUNNING", "queue": queue}
        try:
            return self._studies.find_one(others, {"_id": 1}) is not None
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def referenced(self, digest: str) -> bool:
        """Say whether any study points to a blob: its dataset, its splits, or what early stopping watches."""
        fields = ("objective.dataset", "objective.splits", "objective.validation")
        try:
            return self._studies.find_one({"$or": [{field: digest} for field in fields]}, {"_id": 1}) is not None
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    # ------------------------------------------------------------------- trials

    def insert_trials(self, packed: Sequence[bytes]) -> list[int]:
        """Write results, each unless its trial has one; return when they are durable.

        Parameters
        ----------
        packed : sequence of bytes
            Trial documents made by `pack`.

        Returns
        -------
        list of int
            Positions of those that were new.
        """
        if not packed:
            return []
        refused: set[int] = set()
        try:
            self._raw_trials.insert_many([RawBSONDocument(one) for one in packed], ordered=False)
        except BulkWriteError as exc:
            errors = exc.details.get("writeErrors", [])
            if exc.details.get("writeConcernErrors") or any(error["code"] != _DUPLICATE_KEY for error in errors):
                raise self._explain(exc) from exc
            refused = {error["index"] for error in errors}
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        return [position for position in range(len(packed)) if position not in refused]

    def finished_numbers(self, study_id: str, among: Iterable[int] | None = None) -> set[int]:
        """Return the numbers of a study's trials that have a result, all or of some given."""
        try:
            if among is None:
                # Fields of one index, so a server answers without opening a document.
                found = self._trials.find({"study_id": study_id}, {"_id": 0, "number": 1}).hint(_COUNT_AND_RESUME)
                return {document["number"] for document in found}
            ids = ([trial_id(study_id, number) for number in page] for page in pages(among))
            return {
                int(document["_id"].rpartition(":")[2])
                for page in ids
                for document in self._trials.find({"_id": {"$in": page}}, {"_id": 1})
            }
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def trials(self, study_id: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
        """Yield a study's trial documents, in no order; optionally some fields of them only."""
        try:
            projection = fields and {"_id": 0, **dict.fromkeys(fields, 1)}
            yield from self._trials.find({"study_id": study_id}, projection).batch_size(20_000)
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def trial(self, study_id: str, number: int) -> Document | None:
        """Return the document of a trial that has ended, or None."""
        try:
            return self._trials.find_one({"_id": trial_id(study_id, number)})
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def trials_at(
        self, study_id: str, numbers: Iterable[int], fields: Sequence[str] | None = None
    ) -> Iterator[Document]:
        """Yield the documents of some trials, of those that have ended, in no order; optionally some fields only."""
        projection = fields and {"_id": 0, **dict.fromkeys(fields, 1)}
        try:
            for page in pages(numbers):
                wanted = [trial_id(study_id, number) for number in page]
                yield from self._trials.find({"_id": {"$in": wanted}}, projection)
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def best_trials(self, study_id: str, limit: int, query: Document | None = None) -> list[Document]:
        """Return the trials with the highest ``mean_test_score``, lower numbers first among equals.

        A trial counts if all its fits went well and its score is a number, also where another metric failed.
        """
        scored = {"mean_test_score": {"$gte": -math.inf}, "failed_fits": {"$in": [None, 0]}}
        wanted = {"study_id": study_id, **scored, **(query or {})}
        try:
            return list(self._trials.find(wanted).sort([("mean_test_score", -1), ("number", 1)]).limit(limit))
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def failed_trials(self, study_id: str, below: int, limit: int, fields: Sequence[str]) -> list[Document]:
        """Return some fields of the first failed trials of a study.

        Parameters
        ----------
        study_id : str
        below : int
            Numbers from here on are not looked at: a simple server reads all that match before it counts them out.
        limit : int
            How many at most.
        fields : sequence of str
        """
        # A walk of the index that counts: study, state and number.
        failed = {"study_id": study_id, "state": "FAILED", "number": {"$lt": below}}
        try:
            return list(self._trials.find(failed, dict.fromkeys(fields, 1)).sort("number", 1).limit(limit))
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def ended_since(
        self, study_id: str, moment: datetime, limit: int, fields: Sequence[str], *, newest: bool = False
    ) -> list[Document]:
        """Return some fields of the trials that ended at a moment or later, in the order in which they ended.

        Parameters
        ----------
        study_id : str
        moment : datetime
            Let it be so late that few match: a simple server sorts all of them.
        limit : int
            How many at most.
        fields : sequence of str
            With ``finished_at``.
        newest : bool, default=False
            Whether the last `limit` are meant where there are more, and not the first.
        """
        wanted = {"study_id": study_id, "finished_at": {"$gte": moment}}
        try:
            found = self._trials.find(wanted, dict.fromkeys(fields, 1))
            ended = list(found.sort("finished_at", -1 if newest else 1).limit(limit))
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        return ended[::-1] if newest else ended

    def delete_trials(self, study_id: str) -> None:
        """Delete every result of a study, its models, and what is known of trials that have none."""
        try:
            self._trials.delete_many({"study_id": study_id})
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        self.unfinished.drop_study(study_id)
        self.models.delete_of(study_id)

    def delete_failed(self, study_id: str) -> int:
        """Delete a study's failed trials, so that they can be tried again; return how many."""
        failed = {"study_id": study_id, "state": "FAILED"}
        try:
            numbers = [document["number"] for document in self._trials.find(failed, {"number": 1})]
            deleted = self._trials.delete_many(failed).deleted_count
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        # What a lost worker has left of them would fail them again untried.
        self.unfinished.drop(study_id, numbers)
        return deleted

    # ----------------------------------------------------------------- progress

    def add_progress(self, study_id: str, documents: Sequence[Document]) -> Document | None:
        """Count new results in the study document, and end the study with its last one.

        Parameters
        ----------
        study_id : str
            The study.
        documents : sequence of dict
            The trial documents that `insert_trials` found new.

        Returns
        -------
        dict or None
            The study document after it: its state may be news to a worker. None where it was deleted.
        """
        update: Document = {"$inc": {f"progress.{name}": value for name, value in increments(documents).items()}}
        if documents:
            update["$max"] = {"progress.last_result_at": max(document["finished_at"] for document in documents)}
        if best := best_of(documents):
            update["$max"]["progress.best"] = best
        study = self.update_study(study_id, update)
        if study and study["progress"]["complete"] + study["progress"]["failed"] >= study["n_trials"]:
            return self.recount(study_id)
        return study

    def recount(self, study_id: str) -> Document | None:
        """Set a study's counts from its trial documents, and its state when all have ended.

        Returns
        -------
        dict or None
            The study document after it; None where there is no such study.
        """
        before = self.study(study_id, ("publications",))
        try:
            found, best = totals(list(self._trials.aggregate([{"$match": {"study_id": study_id}}, {"$group": GROUP}])))
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        update: Document = {"$set": {f"progress.{name}": value for name, value in found.items()}}
        if best:
            update["$max"] = {"progress.best": best}
        study = self.update_study(study_id, update)
        if study and found["complete"] + found["failed"] >= study["n_trials"] and study["state"] != "COMPLETE":
            self.unfinished.drop_study(study_id)
            ended = {"$set": {"state": "COMPLETE", "finished_at": now()}}
            # Unless trials were taken back since they were counted, which a new publication says.
            still = {"state": {"$ne": "CANCELLED"}, "publications": (before or {}).get("publications")}
            return self.update_study(study_id, ended, still) or study
        return study


def ping(mongo_url: str, timeout: float) -> None:
    """Raise `StoreError` unless a MongoDB answers at `mongo_url` within `timeout` seconds."""
    store = Store(Settings(MONGO_URL=mongo_url, WARREN_CONNECT_SECONDS=timeout))
    try:
        store.ping()
    finally:
        store.close()
