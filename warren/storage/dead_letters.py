"""Dead letters: messages in ``chunks.dead``, and the notes on them in their studies.

A worker notes a dead letter in its study before it dead-letters the chunk. The broker notes
nothing: a process that follows a study looks here for chunks that the broker's limits and policies
removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from warren.broker import DeadLetter
from warren.messages import Address, address_of
from warren.storage.documents import Document
from warren.storage.published_check import why_not
from warren.storage.store import Store
from warren.storage.study_document import DeadChunks

# Letters in a study's document, and trial numbers in each: two of the sixteen megabytes of a
# document.
_MOST_LETTERS = 200
_MOST_NUMBERS = 1000
# Chunks whose names are stored: two more megabytes.
_MOST_CHUNKS = 100_000


def tell_studies(letters: Iterable[DeadLetter], store: Store) -> None:
    """Note dead letters in the studies of their trials, if that was not done yet.

    Parameters
    ----------
    letters : iterable of DeadLetter
        The messages.
    store : Store
        The database of the studies.

    Raises
    ------
    StoreError
        The database is unreachable or refuses.
    """
    own = store.identity()
    studies: dict[str, DeadChunks | None] = {}
    for letter in letters:
        if letter.noted or letter.database not in {own, None} or (address := address_of(letter.body)) is None:
            continue
        if address.study_id not in studies:
            studies[address.study_id] = store.study(address.study_id, DeadChunks)
        study = studies[address.study_id]
        # Skip chunks that were published again since, and chunks noted earlier, which most are.
        if study is None or study.publications != address.generation or _name_of(address) in study.dead_chunks:
            continue
        if why_not(store, address, letter.body) is not None:  # others may write to this queue too
            continue
        done = store.trials.finished_numbers(address.study_id, address.numbers)
        left = replace(address, numbers=[number for number in address.numbers if number not in done])
        if left.numbers:
            update, only_if = letter_of(left, letter.reason)
            store.update_study(left.study_id, update, only_if | {"publications": left.generation})


def _name_of(address: Address) -> str:
    """Return the name of a chunk in the list ``dead_chunks`` of its study."""
    return f"{address.generation}/{address.index}"


def letter_of(address: Address, reason: str) -> tuple[Document, Document]:
    """Return the update of a study's document for a dead letter, and its condition.

    Parameters
    ----------
    address : Address
        The chunk's address, with one trial at least.
    reason : str
        Why it can't be evaluated.

    Returns
    -------
    update : dict
        For MongoDB.
    only_if : dict
        A query that the document must match.
    """
    letter = {
        "generation": address.generation,
        "index": address.index,
        "numbers": address.numbers[:_MOST_NUMBERS],
        "reason": reason,
    }
    update = {
        "$push": {
            # A study's document has room for so many; of all others it keeps the names, so that
            # each is counted only once.
            "dead_letters": {"$each": [letter], "$slice": _MOST_LETTERS},
            "dead_chunks": _name_of(address),
        },
        "$inc": {"progress.dead": len(address.numbers)},
    }
    only_if = {
        # Only once: the message may be redelivered if this worker ends before it has dead-lettered
        # it.
        "dead_chunks": {"$ne": _name_of(address)},
        f"dead_chunks.{_MOST_CHUNKS - 1}": {"$exists": False},
        # Others may write any address: accept only one that the study may have published and waits
        # for.
        "publications": {"$gte": address.generation},
        "generation": {"$lte": address.generation},
        "state": "RUNNING",
        "n_trials": {"$gt": max(address.numbers)},
    }
    return update, only_if
