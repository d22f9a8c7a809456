"""MongoDB: the connection, the collection ``studies``, and work on several collections.

``studies`` has one document per study: the submission, its state, and running counts, so that its
progress costs one read. Results are in ``trials`` (`warren.storage.trials`), unfinished trials in
``unfinished`` (`warren.storage.unfinished`), the bodies of a study's chunks in ``published``
(`warren.storage.published_chunks`), data and models in GridFS (`warren.storage.blobs`).

The trial documents are authoritative; the counts are a convenience. If a worker ends between the
two writes, the counts are too low, and `Store.recount` corrects them from the documents.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from warren.messages import STUDY_ID, is_study_id
from warren.settings import Settings, redact
from warren.storage.blobs import Blobs
from warren.storage.database_id import Identity
from warren.storage.documents import Document, now
from warren.storage.mongo import explained, open_database
from warren.storage.own_trials import OwnTrials
from warren.storage.progress_counts import best_of, increments
from warren.storage.published_chunks import Published
from warren.storage.readable_studies import only_studies
from warren.storage.results_table import Tables
from warren.storage.study_document import StudyDocument, StudyKey, StudyPlan, StudyProgress
from warren.storage.trials import Trials
from warren.storage.unfinished import Unfinished
from warren.versions import seen_in

if TYPE_CHECKING:
    import pyarrow as pa

P = TypeVar("P", bound=StudyKey)

# Seconds to close the connections.
_CLOSE_SECONDS = 1.0
# Seconds to create a table of results, which delays a study's end: 100,000 trials on a slow server.
_TABLE_SECONDS = 20.0


class Store:
    """Studies, trials and data of one database.

    Parameters
    ----------
    settings : Settings
        Name the server and how long to wait for it. The first call connects.

    Raises
    ------
    StoreError
        From every method: the server is unreachable or refuses. The text contains no password.
    InputError
        The URL is invalid or names no database.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = redact(settings.mongo_url)
        self._explained = functools.partial(explained, settings)
        database = open_database(settings)
        self._client = database.client
        self.database = database.name
        self._studies = database["studies"]
        # Marks a study that was deleted and not lost.
        self._deleted = database["deleted"]
        self._identity = Identity(database["identity"], self._explained)
        self.trials = Trials(database["trials"], self._explained)
        self.unfinished = Unfinished(database["unfinished"], self._explained)
        self.published = Published(database["published"], self._explained)
        self.datasets = Blobs(database, "datasets")
        self.models = Blobs(database, "models")
        self.tables = Tables(self.trials, Blobs(database, "results"))

    def identity(self) -> str:
        """Return the id of this database, which every message of its studies contains."""
        return self._identity.read()

    def why_not(self) -> str | None:
        """Return why the database is unreachable, by the driver's last check, or None."""
        if self._client.topology_description.has_writable_server():
            return None
        return f"no MongoDB that takes writes answers at {self.url}"

    def close(self) -> None:
        """Close the connections, without waiting for a lost server."""
        with pymongo.timeout(_CLOSE_SECONDS):
            self._client.close()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block whose calls end within so many seconds, with a `StoreError` if needed."""
        return pymongo.timeout(seconds)

    def ping(self) -> None:
        """Raise `StoreError` unless the server answers and the user may use the database."""
        with self._explained():
            self._client.admin.command("ping")
            self._studies.find_one({}, {"_id": 1})

    def prepare(self) -> None:
        """Create the indexes; existing ones stay."""
        self.trials.prepare()
        with self._explained():
            self._studies.create_index([("created_at", -1)])

    # ------------------------------------------------------------------ studies

    def create_study(self, study: StudyDocument) -> bool:
        """Write a study document unless it exists; return whether it is new.

        A deleted study keeps its generation, so that its old chunks are not taken for new ones.

        Parameters
        ----------
        study : StudyDocument
        """
        with self._explained():
            gone = self._deleted.find_one({"_id": study.id}) or {}
            before = int(gone.get("publications", 0))
            known = {"publications": before, "generation": before + 1} if before else {}
            try:
                self._studies.insert_one(study.to_document() | known)
            except DuplicateKeyError:
                return False
            # Last: if this call is interrupted, the next one must find the note again.
            self._deleted.delete_one({"_id": study.id})
        return True

    def update_study(self, study_id: str, update: Document, only_if: Document | None = None) -> StudyPlan | None:
        """Apply a MongoDB update to a study; return it afterwards, or None if none matched."""
        with self._explained():
            found = self._studies.find_one_and_update(
                {"_id": study_id, **(only_if or {})},
                update,
                StudyPlan.projection(),
                return_document=ReturnDocument.AFTER,
            )
        return StudyPlan.read(found) if found else None

    def study(self, study_id: str, part: type[P]) -> P | None:
        """Return a part of a study's document, or None without such a study.

        Raises
        ------
        StudyError
            The document is not a study.
        """
        if not is_study_id(study_id):
            return None
        with self._explained():
            found = self._studies.find_one({"_id": study_id}, part.projection())
        return part.read(found) if found else None

    def delete_study(self, study_id: str) -> bool:
        """Delete a study with its trials; return whether it existed.

        The study's document goes first, but a note of the deletion stays: from then on, workers
        drop its chunks and their results.
        """
        with self._explained():
            known = self._studies.find_one({"_id": study_id}, {"publications": 1}) or {}
            gone = {"$set": {"deleted_at": now()}, "$max": {"publications": known.get("publications", 0)}}
            self._deleted.update_one({"_id": study_id}, gone, upsert=True)
            study = self._studies.find_one_and_delete({"_id": study_id})
            if study and study.get("publications", 0) > known.get("publications", 0):  # published in between
                self._deleted.update_one({"_id": study_id}, {"$max": {"publications": study["publications"]}})
        self.delete_results(study_id)
        self.published.drop(study_id)
        return study is not None

    def surely_unwanted(self, study_id: str, generation: int) -> bool:
        """Return whether certainly no study needs a chunk; only then may a worker drop it.

        This is a write with a majority, which an outdated or deposed server can't answer.

        Parameters
        ----------
        study_id : str
        generation : int
            The chunk's.

        Returns
        -------
        bool
            Whether the study was deleted, does not run, or was published again. False for an
            unknown study.
        """
        unwanted = {"$or": [{"state": {"$ne": "RUNNING"}}, {"generation": {"$gt": generation}}]}
        asked = {"$set": {"dropped_at": now()}}
        with self._explained():
            deleted = self._deleted.update_one({"_id": study_id}, asked).matched_count
            if deleted and self._studies.find_one({"_id": study_id}, {"_id": 1}) is None:
                return True
            return bool(self._studies.update_one({"_id": study_id, **unwanted}, asked).matched_count)

    def models_of(self, study_id: str) -> list[str]:
        """Return the ids of the one-trial studies that train the models of a study."""
        with self._explained():
            return [found["_id"] for found in self._studies.find({"model_of": study_id}, {"_id": 1})]

    def studies(self, part: type[P], limit: int = 0) -> list[P]:
        """Return a part of each search's document, newest first; `limit` 0 returns all."""
        with self._explained():
            # Documents with ids that `submit` never makes can't be requested, and must not use up
            # the limit.
            own = {"model_of": None, "_id": {"$regex": STUDY_ID}}
            found = self._studies.find(own, part.projection()).sort("created_at", -1).limit(limit)
            return list(only_studies(found, part))

    def queue_shared(self, study_id: str, queue: str) -> bool:
        """Return whether another running study has its chunks in the same queue."""
        others = {"_id": {"$ne": study_id}, "state": "RUNNING", "queue": queue}
        with self._explained():
            return self._studies.find_one(others, {"_id": 1}) is not None

    def referenced(self, digest: str) -> bool:
        """Return whether any study refers to a blob: as dataset, splits, or validation indices."""
        fields = ("objective.dataset", "objective.splits", "objective.validation")
        with self._explained():
            return self._studies.find_one({"$or": [{field: digest} for field in fields]}, {"_id": 1}) is not None

    # ------------------------------------------------------------------ results

    def delete_results(self, study_id: str) -> None:
        """Delete all results of a study, its models, and the notes on its unfinished trials."""
        self.trials.delete_of(study_id)
        self.tables.delete_of(study_id)
        self.unfinished.drop_study(study_id)
        self.models.delete_of(study_id)

    def delete_failed(self, study_id: str) -> int:
        """Delete a study's failed trials, so that they can be tried again; return their number."""
        numbers = self.trials.delete_failed(study_id)
        # Attempts of lost workers would fail these trials again without a try.
        self.unfinished.drop(study_id, numbers)
        return len(numbers)

    # ----------------------------------------------------------------- progress

    def add_progress(self, study_id: str, documents: Sequence[Document]) -> StudyPlan | None:
        """Count new results in the study document, and end the study with its last one.

        Parameters
        ----------
        study_id : str
            The study.
        documents : sequence of dict
            The trial documents that `Trials.insert` found new.

        Returns
        -------
        StudyPlan or None
            The study afterwards: its state may be new to a worker. None if it was deleted.
        """
        update: Document = {"$inc": {f"progress.{name}": value for name, value in increments(documents).items()}}
        if documents:
            update["$max"] = {"progress.last_result_at": max(document["finished_at"] for document in documents)}
        if best := best_of(documents):
            update["$max"]["progress.best"] = best
        if seen := seen_in(documents):
            update["$addToSet"] = {f"progress.versions.{name}": {"$each": found} for name, found in seen.items()}
        study = self.update_study(study_id, update)
        if study and study.progress.done >= study.n_trials:
            return self.recount(study_id)
        return study

    def recount(self, study_id: str) -> StudyPlan | None:
        """Set a study's counts from its trial documents, and its state if all have ended.

        Returns
        -------
        StudyPlan or None
            The study afterwards; None if it does not exist.
        """
        before = self.study(study_id, StudyPlan)
        if before is None:
            return None
        found, best = self.trials.counts(study_id, before.n_trials)
        update: Document = {"$set": {f"progress.{name}": value for name, value in found.items()}}
        if best:
            update["$max"] = {"progress.best": best}
        study = self.update_study(study_id, update)
        if study and found["complete"] + found["failed"] >= study.n_trials and study.state != "COMPLETE":
            self.unfinished.drop_study(study_id)
            ended = {"state": "COMPLETE", "finished_at": now()}
            with self.within(_TABLE_SECONDS):
                ended["results_file"] = self.tables.keep(study, before.publications)
            # Unless trials were reset since the count, which a new publication shows.
            still = {"state": {"$ne": "CANCELLED"}, "publications": before.publications}
            if study := self.update_study(study_id, {"$set": ended}, still):
                self.published.drop(study_id, before=(study.publications or 0) + 1)
            else:
                study = self.study(study_id, StudyPlan)
            if study is None:  # deleted in the meantime
                self.tables.delete_of(study_id)
        return study

    def results(self, trials: OwnTrials, columns: pa.Schema) -> pa.Table:
        """Return a study's results so far: after its end from its file, before that from documents.

        Parameters
        ----------
        trials : OwnTrials
            The study's trials.
        columns : pyarrow.Schema
            `warren.storage.results_table.schema` of the study's scores.

        Returns
        -------
        pyarrow.Table
            By number; empty for a study that does not exist.
        """
        study = self.study(trials.expected.study_id, StudyProgress)
        file = study.results_file if study and study.state == "COMPLETE" else None
        return self.tables.read(trials, columns, file)


def ping(mongo_url: str, timeout: float) -> None:
    """Raise `StoreError` unless a MongoDB answers at `mongo_url` within `timeout` seconds."""
    store = Store(Settings(MONGO_URL=mongo_url, WARREN_CONNECT_SECONDS=timeout))
    try:
        store.ping()
    finally:
        store.close()
