"""What a study is told of chunks that no worker can evaluate, so that nobody waits for their trials."""

from __future__ import annotations

from tuning.documents import Document
from tuning.messages import Address

# Letters that a study keeps, and trial numbers that each names: two megabytes of a document that holds sixteen.
_MOST_LETTERS = 200
_MOST_NUMBERS = 1000


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
