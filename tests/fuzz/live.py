"""Mutated messages through a real worker on a real broker: each is acknowledged or set aside, and
the worker stays."""

from __future__ import annotations

import copy
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock
from uuid import uuid4

import numpy as np
from pika.adapters.blocking_connection import BlockingChannel
from sklearn.tree import DecisionTreeClassifier

from fuzz.decoder import kind
from fuzz.mutations import CORPUS, mutated
from producer import Study, submit
from producer.stack import LocalStack, local_stack
from warren.broker import channel
from warren.messages import address_of
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, LANES
from warren.settings import load_settings
from warren.storage.store import Store

ACKNOWLEDGED = "acknowledged: trained, or not wanted"
# Messages between two looks at the worker.
_BATCH = 500
# Seconds for a batch. A message may take its training process down, and be tried three times.
_SECONDS = 900.0
# Trials of the study that the messages are about: more than they can finish.
_TRIALS = 20_000

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2


def settle(
    open_channel: BlockingChannel, bodies: Iterable[bytes], alive: Callable[[], bool], seconds: float = _SECONDS
) -> Counter[str]:
    """Send messages to the one worker of a broker, and return how many ended how once it has
    settled all of them.

    Parameters
    ----------
    open_channel : BlockingChannel
        Of a broker whose queues are empty.
    bodies : iterable of bytes
    alive : callable
        Whether the worker is still there.
    seconds : float
        How long to wait.

    Raises
    ------
    AssertionError
        The worker ended, or did not settle them in time.
    """
    found: Counter[str] = Counter()
    sent = 0
    for body in bodies:
        open_channel.basic_publish("", CHUNKS_QUEUE, body)
        sent += 1
    # A worker takes one message at a time, in order: with the last one settled, all are.
    last = f"the last, {uuid4()}".encode()
    open_channel.basic_publish("", CHUNKS_QUEUE, last)
    deadline = time.monotonic() + seconds
    while True:
        _, properties, body = open_channel.basic_get(DEAD_QUEUE, auto_ack=True)
        if body == last:
            break
        if body is not None:
            reason = (properties.headers or {}).get("x-warren-reason")
            assert reason, f"set aside without a reason: {body[:500]!r}"
            found[kind(reason)] += 1
            continue
        assert alive(), "the worker ended"
        assert time.monotonic() < deadline, "the worker settles nothing any more"
        time.sleep(0.01)  # between two looks: the worker needs the processor too
    open_channel.queue_purge(CHUNKS_QUEUE)  # what names no study of this worker's, and no database: it is given back
    found[ACKNOWLEDGED] += sent - found.total()
    return found


def published(store: Store, bodies: Iterable[bytes], first: int = 0) -> Iterator[bytes]:
    """Note bodies as those that their studies have published: what a worker refuses, it refuses for
    what they hold.

    Each is made another chunk, from number `first` on, for a chunk has one body.
    """
    for index, body in enumerate(bodies, first):
        if (address := address_of(body)) is None:
            yield body
            continue
        own = json.dumps(json.loads(body) | {"index": index}).encode()
        store.published.note(address.study_id, address.generation, {index: own})
        yield own


def corpus_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return messages for a worker: several about a study that runs, of which one of its
    messages is given."""
    made = []
    for estimator in [message["objective"]["estimator"], *(one["objective"]["estimator"] for one in CORPUS[:2])]:
        one = copy.deepcopy(message)
        one["objective"]["estimator"] = estimator
        one["trial_timeout"] = 20.0
        made.append(one)
    return [*made, *made, *copy.deepcopy(CORPUS)]


def bodies(corpus: list[dict[str, Any]], seeds: Iterable[int]) -> Iterator[bytes]:
    """Yield mutated messages, each about one trial or several that are drawn again."""
    for seed in seeds:
        random = Random(seed)
        for message in corpus:
            first = random.randrange(_TRIALS - 10)
            for position, trial in enumerate(message["trials"]):
                trial["number"] = first + position
        yield mutated(random, corpus)


def template(open_channel: BlockingChannel) -> dict[str, Any]:
    """Take every message of the queues and return one of them."""
    found = None
    for queue in LANES:
        while (body := open_channel.basic_get(queue, auto_ack=True)[2]) is not None:
            found = body
    assert found is not None
    message: dict[str, Any] = json.loads(found)
    message["trials"] = message["trials"][:3]
    return message


@contextmanager
def _stack(log: Callable[[str], None]) -> Iterator[LocalStack]:
    """Bring up servers of this run alone, without a key: with one, no mutated message comes past
    its signature."""
    for name in list(os.environ):
        if name in ("AMQP_URL", "MONGO_URL") or name.startswith("WARREN_"):
            del os.environ[name]
    os.environ["WARREN_THREADS"] = "1"
    with mock.patch("producer.stack.stack._key", return_value=None), local_stack(workers=0, log=log) as stack:
        yield stack


def run(messages: int, seed: int, log: Callable[[str], None]) -> tuple[Counter[str], Study]:
    """Send mutated messages to a worker, and run a study on it afterwards.

    Parameters
    ----------
    messages : int
        How many.
    seed : int
        Of the first.
    log : callable
        Takes lines of text.

    Returns
    -------
    found : Counter
        How many ended how.
    study : Study
        What was made of the messages that were about a study.

    Raises
    ------
    AssertionError
        The worker ended, did not settle a message, or did not run the study.
    """
    found: Counter[str] = Counter()
    with _stack(log) as stack, channel(load_settings()) as open_channel:
        study = submit(DecisionTreeClassifier(), {"max_depth": range(1, _TRIALS + 1)}, X, Y, cv=2, name="fuzzed")
        corpus = corpus_of(template(open_channel))
        worker = stack.start_worker()
        pid = worker.pid
        for first in range(seed, seed + messages, _BATCH):
            batch = range(first, min(first + _BATCH, seed + messages))
            began = time.monotonic()
            # Indices that the study's own chunks don't have.
            sent = published(study.store, bodies(corpus, batch), first=_TRIALS + first)
            found += settle(open_channel, sent, lambda: worker.running)
            log(f"{found.total():,} messages, the last {len(batch)} in {time.monotonic() - began:.1f} s")
        status = study.status()
        log(f"the study that they were about: {status.complete} trials complete, {status.failed} failed")
        after = submit(DecisionTreeClassifier(), {"max_depth": [1, 2, 3]}, X, Y, cv=2, name="after")
        assert after.wait(timeout=120, progress=False).status().complete == 3
        assert worker.running
        assert worker.pid == pid
    return found, study
