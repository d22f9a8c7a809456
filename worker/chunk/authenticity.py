"""Whether a message is its study's own: signed, where this worker has a key, and with the body that was published."""

from __future__ import annotations

from warren.messages import Address
from warren.retry import Patience
from warren.safety.signing import Keys, signed_chunk, signed_model, tell_unsigned
from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.published_check import why_not
from warren.storage.store import Store


class Genuine:
    """Tells messages that are a study's own from all others, and signs what this worker makes of them.

    Parameters
    ----------
    store : Store
    retry : Patience
        Calls the store again while that is away.
    settings : Settings
        Have the key.
    """

    def __init__(self, store: Store, retry: Patience, settings: Settings) -> None:
        self._store = store
        self._retry = retry
        self._keys = Keys(settings.key)
        if not self._keys:
            tell_unsigned()

    def unsigned(self, body: bytes, database: str | None, signature: str | None) -> str | None:
        """Return why a worker with a key does not read a message; None where it may.

        Parameters
        ----------
        body : bytes
        database : str or None
            The id of the database that it names.
        signature : str or None
        """
        problem = self._keys.problem("warren/chunk", signed_chunk(database, body), signature)
        return (
            problem
            and f"it {problem}, and this worker has a WARREN_KEY: study.resume() with that key publishes it anew"
        )

    def forged(self, address: Address, body: bytes) -> str | None:
        """Return why a message is not what its study published, or None."""
        return self._retry(why_not, self._store, address, body)

    def signed(self, study_id: str, number: int, document: Document) -> Document:
        """Return a trial's document with the model that it tells of signed, where there are a key and a model."""
        if not self._keys or not isinstance(model := document.get("model"), dict):
            return document
        signature = self._keys.sign("warren/model", signed_model(study_id, number, model))
        return document | {"model": model | {"signature": signature}}
