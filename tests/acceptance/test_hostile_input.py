"""Messages that no producer sends, to a real worker: set aside with the reason, nothing trained,
the worker alive."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pika
import psutil
import pytest
from acceptance.conftest import SUPPORT, X, Y
from fuzz import live
from fuzz.mutations import CORPUS, mutated
from hostile import CASES, NOWHERE, Case, Message, good
from pika.adapters.blocking_connection import BlockingChannel
from polling import until
from servers import Urls, on_database
from sklearn.tree import DecisionTreeClassifier
from submitting import stored

from producer import submit
from warren.broker import DATABASE_HEADER, channel
from warren.messages import address_of
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import load_settings
from warren.storage.store import Store

# Seconds for a message to come back as a dead letter; the first that needs the libraries
# waits for them.
DEADLINE = 60.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """One worker for all cases, and a study that it would work on: a message of which is the
    template of the cases."""

    channel: BlockingChannel
    store: Store
    template: Message
    worker: subprocess.Popen[bytes]
    log: Path
    sent: list[int] = field(default_factory=list)

    def dead_letter(self, body: bytes) -> tuple[bytes, str]:
        """Send a body and return the dead letter that comes of it: body and reason."""
        # As if its study had published it: what is refused is refused for what it holds.
        if (address := address_of(body)) is not None:
            self.store.published.note(address.study_id, address.generation, {address.index: body})
        self.channel.basic_publish("", CHUNKS_QUEUE, body)
        deadline = time.monotonic() + DEADLINE
        while True:
            _, properties, found = self.channel.basic_get(DEAD_QUEUE, auto_ack=True)
            if found is not None and properties is not None:
                return found, str((properties.headers or {}).get("x-warren-reason"))
            assert self.worker.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"no dead letter came back\n{self.log.read_text()}"
            time.sleep(0.01)  # between two looks: the worker needs the processor too


@pytest.fixture(scope="module")
def site(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMQP_URL", private_servers.amqp_url)
        patch.setenv("MONGO_URL", on_database(private_servers.mongo_url, f"test-{uuid4().hex[:12]}"))
        patch.setenv("PYTHONPATH", str(SUPPORT))
        patch.setenv("WARREN_THREADS", "1")
        settings = load_settings()
        store = Store(settings)
        with channel(settings) as open_channel:
            for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE):
                open_channel.queue_purge(queue)
            submit(DecisionTreeClassifier(), {"max_depth": [2]}, X, Y, cv=2, n_chunks=1, name="template")
            bodies = [open_channel.basic_get(queue, auto_ack=True)[2] for queue in LANES]
            (body,) = [one for one in bodies if one is not None]
            log = folder / "worker.log"
            with log.open("wb") as output:
                worker = subprocess.Popen(
                    [sys.executable, "-m", "worker"],
                    env={**os.environ, "WARREN_WORKER_NAME": "target"},
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                )
            try:
                yield Site(channel=open_channel, store=store, template=json.loads(body), worker=worker, log=log)
            finally:
                worker.send_signal(signal.SIGKILL)
                worker.wait(10)
                sys.stdout.write(log.read_text()[-20_000:])
                for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE):
                    open_channel.queue_purge(queue)
        store.close()


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_hostile_message_is_set_aside_with_its_reason(site: Site, case: Case) -> None:
    body = case.body(site.template)
    found, reason = site.dead_letter(body)
    assert found == body
    assert re.search(case.reason, reason), reason
    assert len(reason) <= 1000
    assert site.worker.poll() is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda objective: {"n_splits": 5}, "n_splits=5: blob .* has 2 splits"),
        (lambda objective: {"n_splits": 1}, "n_splits=1: blob .* has 2 splits"),
        (lambda objective: {"dataset": objective["splits"]}, "can't be read"),
        (lambda objective: {"splits": objective["dataset"]}, "can't be read"),
    ],
    ids=["more folds than there are", "fewer folds than there are", "folds as data", "data as folds"],
)
def test_data_that_are_not_what_a_message_says_set_it_aside(
    site: Site, wrong: Callable[[Message], Message], reason: str
) -> None:
    objective = site.template["objective"]
    body = json.dumps(site.template | {"objective": objective | wrong(objective)}).encode()
    assert re.search(reason, site.dead_letter(body)[1])
    assert site.worker.poll() is None


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": {"x-delivery-count": "many", "x-warren-reason": {"a": [1, None]}}},
        {"headers": {"x-delivery-count": 2**40, "x-death": [{"count": -1}], "x" * 200: "y" * 60_000}},
        {"timestamp": 2**64 - 1, "priority": 255, "type": "é" * 60},
        {"timestamp": 0, "delivery_mode": 1, "content_encoding": "gzip", "content_type": "application/x-python-pickle"},
        {"reply_to": "chunks", "correlation_id": "x" * 255, "message_id": "{}", "app_id": "$where", "cluster_id": ""},
    ],
)
def test_properties_that_lie_change_nothing(site: Site, properties: dict[str, Any]) -> None:
    body = json.dumps(good(study_id="study-of-nobody")).encode()
    site.channel.basic_publish("", CHUNKS_QUEUE, body, pika.BasicProperties(**properties))
    site.channel.basic_publish("", CHUNKS_QUEUE, b"no JSON", pika.BasicProperties(**properties))
    found, reason = site.dead_letter(b"no JSON either")
    assert (found, reason[:19]) == (b"no JSON", "body: Invalid JSON:")
    until(lambda: site.channel.basic_get(DEAD_QUEUE, auto_ack=True)[2] == b"no JSON either", what="the last came back")
    assert site.worker.poll() is None


def test_bytes_of_nothing_in_particular_are_set_aside(site: Site) -> None:
    for body in (os.urandom(200), b"\x00" * 100, b"\xef\xbb\xbf{}", b"null", b"0", b'""'):
        found, reason = site.dead_letter(body)
        assert found == body
        assert reason.startswith("body: ")


def test_a_study_is_told_what_was_set_aside_of_it_also_in_another_version(site: Site) -> None:
    study_id = site.template["study_id"]
    body = json.dumps(site.template | {"schema_version": 99, "index": 77}).encode()
    site.dead_letter(body)
    until(
        lambda: any(one["index"] == 77 for one in stored(site.store, study_id)["dead_letters"]),
        what="the study lists it",
    )


def test_a_message_of_an_unknown_study_is_returned_or_set_aside(site: Site) -> None:
    body = json.dumps(good(study_id="study-of-nobody-here")).encode()
    named = pika.BasicProperties(headers={DATABASE_HEADER: site.store.identity()})
    site.channel.basic_publish("", CHUNKS_QUEUE, body, named)
    found, reason = site.dead_letter(b"the next one")
    assert found == body
    assert "has no study 'study-of-nobody-here'" in reason
    until(lambda: site.channel.basic_get(DEAD_QUEUE, auto_ack=True)[2] == b"the next one", what="the next came back")
    site.channel.basic_publish("", CHUNKS_QUEUE, body)
    until(lambda: "returned messages of another database" in site.log.read_text(), what="the worker says so")
    until(lambda: _take(site, body), what="it lies there still")


def _take(site: Site, wanted: bytes) -> bool:
    """Take a message from the queue if it is there."""
    with channel(load_settings()) as looking:
        while (found := looking.basic_get(CHUNKS_QUEUE))[0]:
            if found[2] == wanted:
                looking.basic_ack(found[0].delivery_tag)
                return True
    return False


def test_nothing_was_trained_and_nothing_written(site: Site) -> None:
    assert site.store.trials.finished_numbers(site.template["study_id"]) == set()
    assert sorted(path.name for path in site.log.parent.iterdir()) == ["worker.log"]
    place = Path(NOWHERE)
    assert not list(place.parent.glob(f"{place.name}*"))


def test_mutated_messages_leave_the_worker_alive(site: Site) -> None:
    """A few of the ten thousand of `make fuzz`, about a study that this worker knows."""
    corpus = [site.template, *copy.deepcopy(CORPUS)]
    found = live.settle(
        site.channel,
        live.published(site.store, (mutated(Random(seed), corpus) for seed in range(300)), first=1000),
        lambda: site.worker.poll() is None,
        100.0,
    )
    assert found.total() == 300
    assert 10 < found[live.ACKNOWLEDGED] < 200


def test_the_same_worker_still_runs_a_study(site: Site) -> None:
    process = psutil.Process(site.worker.pid)
    assert process.is_running()
    assert process.memory_info().rss < 400e6, "what was sent was not kept"
    grid: dict[str, Any] = {"max_depth": [1, 2, 3]}
    study = submit(DecisionTreeClassifier(), grid, X, Y, cv=2, name="afterwards").wait(timeout=60, progress=False)
    assert study.status().complete == 3
    assert set(study.results()["worker"]) == {"target"}
    assert site.worker.poll() is None
