"""Dead letters: what lies in ``chunks.dead``, whoever put it there, and what its study is told of it.

A worker tells the study before it sets a chunk aside. The broker tells nobody: what its limits and policies remove is
found here by whoever follows a study.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tuning.broker import DeadLetter
from tuning.documents import Document
from tuning.messages import Address, address_of
from tuning.store import Store

# Letters that a study keeps, and trial numbers that each names: two megabytes of a document that holds sixteen.
_MOST_LETTERS = 200
_MOST_NUMBERS = 1000


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
    for letter in letters:
        if letter.told or letter.database not in {own, None} or (address := address_of(letter.body)) is None:
            continue
        done = store.trials.finished_numbers(address.study_id, address.numbers)
        left = replace(address, numbers=[number for number in address.numbers if number not in done])
        if left.numbers:
            update, only_if = letter_of(left, letter.reason)
            # One that has been published again since is of no interest.
            store.update_study(left.study_id, update, only_if | {"publications": left.generation})


def letter_of(address: Address, reason: str) -> tuple[Document, Document]:
    """Return what a dead letter changes in its study's document, and the condition under which it does.

    Parameters
    ----------
    address : Address
        What is known of the chunk; it has a trial at least.
    reason : str
        Why it can't be evaluated.
    """
    one = {"generation": address.generation, "index": address.index}
    letter = {**one, "numbers": address.numbers[:_MOST_NUMBERS], "reason": reason}
    update = {
        # A study's document has room for so many.
        "$push": {"dead_letters": {"$each": [letter], "$slice": _MOST_LETTERS}},
        "$inc": {"progress.dead": len(address.numbers)},
    }
    only_if = {
        # Once: the message may come again, if this worker dies before it has set it aside.
        "dead_letters": {"$not": {"$elemMatch": one}},
        # Anybody can write an address: it must be one that the study may have published, and waits for.
        "publications": {"$gte": address.generation},
        "generation": {"$lte": address.generation},
        "state": "RUNNING",
        "n_trials": {"$gt": max(address.numbers)},
    }
    return update, only_if
