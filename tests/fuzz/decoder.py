"""Mutated messages through the decoder: each is a chunk that can be worked on, or one error with a
short reason."""

from __future__ import annotations

import re
import time
from collections import Counter
from random import Random

from fuzz.mutations import mutated
from warren.encoding.codec import decode, readable
from warren.errors import InputError, MessageError
from warren.libraries.resolve import resolve
from warren.messages import Chunk, address_of, decode_chunk, encode_chunk
from warren.storage.documents import pack

ACCEPTED = "accepted"
# Seconds for one message; the slowest takes a hundredth, and a machine may be busy.
_SECONDS = 10.0
# What only the libraries can say: no other reason is left to whom decodes a parameter.
_A_CLASS = re.compile(
    "allow-list|is no estimator class|can't be imported|is not allowed, or not installed|can't be made here"
    "|no scorer is called|is not a distribution of|public function of|takes no keyword|does not compare true"
)
# MongoDB's limit, with room for what else a trial's document holds.
_LARGEST_DOCUMENT = 12 * 2**20


def outcome(body: bytes) -> str:
    """Return `ACCEPTED`, or the kind of reason why a body was refused.

    Raises
    ------
    AssertionError
        A chunk came out that no worker could work on, or a reason that fits into no header.
    Exception
        Any other than `MessageError`: what this is here to find.
    """
    began = time.monotonic()
    try:
        chunk = decode_chunk(body)
    except MessageError as exc:
        reason = str(exc)
        assert reason.isascii()
        assert reason.isprintable()
        assert 0 < len(reason) <= 500
        address_of(body)
        return kind(reason)
    finally:
        assert time.monotonic() - began < _SECONDS
    _check(chunk, body)
    return ACCEPTED


def kind(reason: str) -> str:
    """Return a reason without what differs from message to message."""
    reason = re.sub(r" \(\d+ problem\(s\).*", "", reason)
    reason = re.sub(r" at line \d+ column \d+", "", reason)
    reason = re.sub(r"^(\S*?)(\[.*?\]|: \w+\(.*?=\.\.\.\))*(?= =|:)", r"\1", reason)
    reason = re.sub(r" = .*?: ", ": ", reason, count=1)
    reason = re.sub(r"\.'.*?'|\.__\w*", ".*", reason)
    return re.sub(r"'.*?'", "'...'", re.sub(r"\d[\d,]*", "N", reason))[:90]


def _check(chunk: Chunk, body: bytes) -> None:
    """Check what a worker does with a chunk before it trains, and what it writes afterwards."""
    assert encode_chunk(decode_chunk(encode_chunk(chunk))) == encode_chunk(chunk)
    address = address_of(body)
    assert address is not None
    assert (address.study_id, address.generation, address.index) == (chunk.study_id, chunk.generation, chunk.index)
    assert address.numbers == [trial.number for trial in chunk.trials]
    for trial in chunk.trials[:5]:
        estimator = trial.estimator or chunk.objective.estimator
        assert estimator is not None
        resolved = resolve(estimator, trial.params)
        assert resolved.rounds >= 1
        assert resolved.stops_early in (True, False)
        assert resolved.group(trial.number)
        shown = {"number": trial.number, "estimator": readable(estimator), "params": readable(trial.params)}
        assert len(pack(shown)) < _LARGEST_DOCUMENT
        for value in (estimator, *trial.params.values()):
            try:
                decode(value, build=lambda cls, _: cls)
            except InputError as exc:
                if not _A_CLASS.search(str(exc)):
                    raise


def run(messages: int, seed: int) -> Counter[str]:
    """Put mutated messages through the decoder; return how many ended how.

    Parameters
    ----------
    messages : int
        How many.
    seed : int
        Of the first; each message has a seed of its own, which a failure names.
    """
    found: Counter[str] = Counter()
    for number in range(seed, seed + messages):
        body = mutated(Random(number))
        try:
            found[outcome(body)] += 1
        except BaseException as exc:  # whatever it is, it goes on with the seed that shows it again
            exc.add_note(f"message of seed {number}: {body[:2000]!r}")
            raise
    return found
