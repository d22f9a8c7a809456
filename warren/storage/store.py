"""MongoDB: the connection, the collection ``studies``, and what belongs to several collections at once.

``studies`` holds one document a study: what was submitted, its state, and a running count that costs one read to
follow. Results lie in ``trials`` (`warren.storage.trials`), what is known of trials until then in ``unfinished``
(`warren.storage.unfinished`), which bodies a study's chunks have in ``published`` (`warren.storage.published_chunks`),
data and models in GridFS (`warren.storage.blobs`).

The documents prove; the counts are a convenience. A worker that dies between the two leaves them too
low, and `Store.recount` sets them right from the documents.
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

# Seconds to say goodbye to a server.
_CLOSE_SECONDS = 1.0
# Seconds that making a table of results may take, for a study ends after it: 100,000 trials on a slow server.
_TABLE_SECONDS = 20.0


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
        self._explained = functools.partial(explained, settings)
        database = open_database(settings)
        self._client = database.client
        self.database = database.name
        self._studies = database["studies"]
        # What says of a study that it was deleted, and not lost.
        self._deleted = database["deleted"]
        self._identity = Identity(database["identity"], self._explained)
        self.trials = Trials(database["trials"], self._explained)
        self.unfinished = Unfinished(database["unfinished"], self._explained)
        self.published = Published(database["published"], self._explained)
        self.datasets = Blobs(database, "datasets")
        self.models = Blobs(database, "models")
        self.tables = Tables(self.trials, Blobs(database, "results"))

    def identity(self) -> str:
        """Return the id of this database, which every message of its studies carries."""
        return self._identity.read()

    def why_not(self) -> str | None:
        """Return why the database can't be used, as its driver last saw it, or None. Waits for nothing."""
        if self._client.topology_description.has_writable_server():
            return None
        return f"no MongoDB that takes writes answers at {self.url}"

    def close(self) -> None:
        """Close the connections; a server that is gone is not waited for."""
        with pymongo.timeout(_CLOSE_SECONDS):
            self._client.close()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block in which every call ends, with a `StoreError` if need be, once so many seconds are over."""
        return pymongo.timeout(seconds)

    def ping(self) -> None:
        """Raise `StoreError` unless the server answers and the user may use the database."""
        with self._explained():
            self._client.admin.command("ping")
            self._studies.find_one({}, {"_id": 1})

    def prepare(self) -> None:
        """Create the indexes; harmless when they are there."""
        self.trials.prepare()
        with self._explained():
            self._studies.create_index([("created_at", -1)])

    # ------------------------------------------------------------------ studies

    def create_study(self, study: StudyDocument) -> bool:
        """Write a study document unless it is there; return whether it was new.

        One that was deleted goes on counting its publications: chunks of before are not taken for later ones.

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
            # Last: a call that is cut short is made again, and must find it.
            self._deleted.delete_one({"_id": study.id})
        return True

    def update_study(self, study_id: str, update: Document, only_if: Document | None = None) -> StudyPlan | None:
        """Apply a MongoDB update to a study; return it after that, or None where nothing matched."""
        with self._explained():
            found = self._studies.find_one_and_update(
                {"_id": study_id, **(only_if or {})},
                update,
                StudyPlan.projection(),
                return_document=ReturnDocument.AFTER,
            )
        return StudyPlan.read(found) if found else None

    def study(self, study_id: str, part: type[P]) -> P | None:
        """Return a part of a study's document, or None where there is no such study.

        Raises
        ------
        StudyError
            The document is no study's.
        """
        if not is_study_id(study_id):
            return None
        with self._explained():
            found = self._studies.find_one({"_id": study_id}, part.projection())
        return part.read(found) if found else None

    def delete_study(self, study_id: str) -> bool:
        """Delete a study with its trials; return whether there was one.

        The study goes first, but for a note that it was deleted: from then on workers drop its chunks, and what they
        still write of it.
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
        """Say whether it is certain that nobody wants a chunk: only then may a worker drop it.

        Asked by a write that a majority must have: no server can give that answer that lags, or that others have voted
        out meanwhile.

        Parameters
        ----------
        study_id : str
        generation : int
            The chunk's.

        Returns
        -------
        bool
            Whether the study was deleted, does not run, or was published anew. False for a study of which nothing is
            known.
        """
        unwanted = {"$or": [{"state": {"$ne": "RUNNING"}}, {"generation": {"$gt": generation}}]}
        asked = {"$set": {"dropped_at": now()}}
        with self._explained():
            deleted = self._deleted.update_one({"_id": study_id}, asked).matched_count
            if deleted and self._studies.find_one({"_id": study_id}, {"_id": 1}) is None:
                return True
            return bool(self._studies.update_one({"_id": study_id, **unwanted}, asked).matched_count)

    def models_of(self, study_id: str) -> list[str]:
        """Return the ids of the studies whose one trial fits a model for a study."""
        with self._explained():
            return [found["_id"] for found in self._studies.find({"model_of": study_id}, {"_id": 1})]

    def studies(self, part: type[P], limit: int = 0) -> list[P]:
        """Return a part of each search's document, newest first; `limit` 0 is all of them."""
        with self._explained():
            # What somebody else has called otherwise than `submit` does is asked for by nobody, and fills no limit.
            own = {"model_of": None, "_id": {"$regex": STUDY_ID}}
            found = self._studies.find(own, part.projection()).sort("created_at", -1).limit(limit)
            return list(only_studies(found, part))

    def queue_shared(self, study_id: str, queue: str) -> bool:
        """Say whether another study that runs has its chunks in the same queue."""
        others = {"_id": {"$ne": study_id}, "state": "RUNNING", "queue": queue}
        with self._explained():
            return self._studies.find_one(others, {"_id": 1}) is not None

    def referenced(self, digest: str) -> bool:
        """Say whether any study points to a blob: its dataset, its splits, or what early stopping watches."""
        fields = ("objective.dataset", "objective.splits", "objective.validation")
        with self._explained():
            return self._studies.find_one({"$or": [{field: digest} for field in fields]}, {"_id": 1}) is not None

    # ------------------------------------------------------------------ results

    def delete_results(self, study_id: str) -> None:
        """Delete every result of a study, its models, and what is known of trials that have none."""
        self.trials.delete_of(study_id)
        self.tables.delete_of(study_id)
        self.unfinished.drop_study(study_id)
        self.models.delete_of(study_id)

    def delete_failed(self, study_id: str) -> int:
        """Delete a study's failed trials, so that they can be tried again; return how many."""
        numbers = self.trials.delete_failed(study_id)
        # What a lost worker has left of them would fail them again untried.
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
            The trial documents that `insert_trials` found new.

        Returns
        -------
        StudyPlan or None
            The study after it: its state may be news to a worker. None where it was deleted.
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
        """Set a study's counts from its trial documents, and its state when all have ended.

        Returns
        -------
        StudyPlan or None
            The study after it; None where there is no such study.
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
            # Unless trials were taken back since they were counted, which a new publication says.
            still = {"state": {"$ne": "CANCELLED"}, "publications": before.publications}
            if study := self.update_study(study_id, {"$set": ended}, still):
                self.published.drop(study_id, before=(study.publications or 0) + 1)
            else:
                study = self.study(study_id, StudyPlan)
            if study is None:  # deleted meanwhile
                self.tables.delete_of(study_id)
        return study

    def results(self, trials: OwnTrials, columns: pa.Schema) -> pa.Table:
        """Return the results that a study has by now: from its file once it has ended, else from the documents.

        Parameters
        ----------
        trials : OwnTrials
            Those of the study.
        columns : pyarrow.Schema
            `warren.storage.results_table.schema` of what the study scores.

        Returns
        -------
        pyarrow.Table
            By number; empty also where there is no such study.
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
