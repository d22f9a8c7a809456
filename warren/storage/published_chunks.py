"""The collection ``published``: which bodies a study's chunks have, noted before the broker gets them.

Whoever may publish can write a message that names a study and its next chunk. So the submitter notes the SHA-256 of
each body, one small document a chunk under ``<study>/<generation>/<index>``, and a study's document says in ``noted``
of which publications that was done. What has another body is not the study's, whatever it says: it is neither trained
nor counted. The notes of a publication go when the study is published anew, ends or is deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pymongo
from pydantic import ValidationError
from pydantic_core import from_json
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from warren.errors import StoreError, short
from warren.messages import Address, Objective
from warren.storage.documents import Document

if TYPE_CHECKING:
    from warren.storage.store import Store

_DUPLICATE_KEY = 11000
# Of a study's document, what a body that nobody noted is compared with.
_STUDY_FIELDS = ("publications", "noted", "n_trials", "objective", "estimator_in_grid", "trial_timeout")


class Published:
    """What was noted of the chunks of one database.

    Parameters
    ----------
    collection : pymongo.collection.Collection
    explain : callable
        Makes a `StoreError` of a driver's error.

    Raises
    ------
    StoreError
        From every method: the server is unreachable or refuses.
    """

    def __init__(self, collection: Collection[Document], explain: Callable[[PyMongoError], StoreError]) -> None:
        self._collection = collection
        self._explain = explain

    def note(self, study_id: str, generation: int, bodies: Mapping[int, bytes]) -> None:
        """Note the bodies of chunks, by their index; the last counts.

        Parameters
        ----------
        study_id : str
        generation : int
            Of which publication they are.
        bodies : mapping of int to bytes
        """
        notes = [
            {"_id": f"{study_id}/{generation}/{index}", "generation": generation, "sha256": _digest(body)}
            for index, body in bodies.items()
        ]
        if not notes:
            return
        try:
            try:
                self._collection.insert_many(notes, ordered=False)
            except BulkWriteError as exc:
                if any(error["code"] != _DUPLICATE_KEY for error in exc.details.get("writeErrors", [])):
                    raise
                # A call that is made again, or what a study of that name has left that was deleted.
                again = [pymongo.ReplaceOne({"_id": note["_id"]}, note, upsert=True) for note in notes]
                self._collection.bulk_write(again, ordered=False)
        except PyMongoError as exc:
            raise self._explain(exc) from exc

    def has(self, study_id: str, generation: int, index: int, body: bytes) -> bool:
        """Say whether a body was noted as this chunk's: one read."""
        try:
            found = self._collection.find_one({"_id": f"{study_id}/{generation}/{index}"}, {"sha256": 1})
        except PyMongoError as exc:
            raise self._explain(exc) from exc
        return found is not None and found.get("sha256") == _digest(body)

    def drop(self, study_id: str, before: int | None = None) -> None:
        """Forget the chunks of a study, all or those of publications before a number."""
        # The character after the separator: one walk of the id index.
        mine: Document = {"_id": {"$gte": f"{study_id}/", "$lt": f"{study_id}0"}}
        if before is not None:
            mine["generation"] = {"$lt": before}
        try:
            self._collection.delete_many(mine)
        except PyMongoError as exc:
            raise self._explain(exc) from exc


def why_not(store: Store, address: Address, body: bytes) -> str | None:
    """Return why a message is not what its study published, or None where it is.

    Parameters
    ----------
    store : Store
    address : Address
        What the message says of itself.
    body : bytes

    Raises
    ------
    StoreError
    """
    if store.published.has(address.study_id, address.generation, address.index, body):
        return None
    which = f"it is not chunk {address.index} of publication {address.generation} of study {address.study_id!r}"
    study = store.study(address.study_id, _STUDY_FIELDS)
    if study is None:
        return f"{which}, which is not in database {store.database!r}"
    published, noted = study.get("publications"), study.get("noted")
    if not isinstance(published, int) or address.generation > published:
        return f"{which}, which was published {short(published or 0)} time(s)"
    if isinstance(noted, list) and address.generation in noted:
        return f"{which}: its content is another one than was published"
    # An earlier version published it, which noted nothing.
    return None if (found := _other(study, body, address)) is None else f"{which}: its {found} not the study's"


def _other(study: Mapping[str, Any], body: bytes, address: Address) -> str | None:
    """Say what of a message can't be its study's, as far as the study's document tells."""
    try:
        content = from_json(body, cache_strings=False)
        if _plain(content["objective"]) != _plain(study["objective"]):
            return "objective is"
        if max(address.numbers, default=0) >= study["n_trials"]:
            return f"trial {max(address.numbers)} is"
        if not study["estimator_in_grid"] and any(trial.get("estimator") for trial in content["trials"]):
            return "trials' own estimators are"
        return None if content.get("trial_timeout") == study["trial_timeout"] else "time limit is"
    except (ValidationError, ValueError, LookupError, TypeError, AttributeError):
        return "content is"


def _plain(objective: object) -> str:
    # As text, for NaN, the usual error score, equals nothing.
    return json.dumps(Objective.model_validate(objective).model_dump(mode="json"), sort_keys=True)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
