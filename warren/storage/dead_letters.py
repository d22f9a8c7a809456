"""Dead letters: what lies in ``chunks.dead``, whoever put it there, and what its study is told of it.

A worker tells the study before it sets a chunk aside. The broker tells nobody: what its limits and policies remove is
found here by whoever follows a study.
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

# Letters that a study keeps, and trial numbers that each names: two megabytes of a document that holds sixteen.
_MOST_LETTERS = 200
_MOST_NUMBERS = 1000
# Chunks whose names it keeps: two megabytes more.
_MOST_CHUNKS = 100_000


def tell_studies(letters: Iterable[DeadLetter], store: Store) -> None:
    """Tell the studies of a database which of their trials lie among the dead letters, where nobody has.

    Parameters
    ----------
    letters : iterable of DeadLetter
    store : Store

    Raises
    ------
    StoreError
    """
    own = store.identity()
    studies: dict[str, DeadChunks | None] = {}
    for letter in letters:
        if letter.told or letter.database not in {own, None} or (address := address_of(letter.body)) is None:
            continue
        if address.study_id not in studies:
            studies[address.study_id] = store.study(address.study_id, DeadChunks)
        study = studies[address.study_id]
        # One that has been published again since is of no interest. Most were told when they were read before.
        if study is None or study.publications != address.generation or _name_of(address) in study.dead_chunks:
            continue
        if why_not(store, address, letter.body) is not None:  # anybody may have put it there
            continue
        done = store.trials.finished_numbers(address.study_id, address.numbers)
        left = replace(address, numbers=[number for number in address.numbers if number not in done])
        if left.numbers:
            update, only_if = letter_of(left, letter.reason)
            store.update_study(left.study_id, update, only_if | {"publications": left.generation})


def _name_of(address: Address) -> str:
    """Return what a study calls a chunk among its dead ones."""
    return f"{address.generation}/{address.index}"


def letter_of(address: Address, reason: str) -> tuple[Document, Document]:
    """Return what a dead letter changes in its study's document, and the condition under which it does.

    Parameters
    ----------
    address : Address
        What is known of the chunk; it has a trial at least.
    reason : str
        Why it can't be evaluated.
    """
    letter = {
        "generation": address.generation,
        "index": address.index,
        "numbers": address.numbers[:_MOST_NUMBERS],
        "reason": reason,
    }
    update = {
        "$push": {
            # A study's document has room for so many; of all others it keeps the names, so that each counts once.
            "dead_letters": {"$each": [letter], "$slice": _MOST_LETTERS},
            "dead_chunks": _name_of(address),
        },
        "$inc": {"progress.dead": len(address.numbers)},
    }
    only_if = {
        # Once: the message may come again, if this worker dies before it has set it aside.
        "dead_chunks": {"$ne": _name_of(address)},
        f"dead_chunks.{_MOST_CHUNKS - 1}": {"$exists": False},
        # Anybody can write an address: it must be one that the study may have published, and waits for.
        "publications": {"$gte": address.generation},
        "generation": {"$lte": address.generation},
        "state": "RUNNING",
        "n_trials": {"$gt": max(address.numbers)},
    }
    return update, only_if
