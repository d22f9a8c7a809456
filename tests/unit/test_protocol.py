"""The codec of messages between a worker and its training process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import cast, get_args

import pytest

from warren.errors import MessageError
from warren.storage.documents import now, pack
from warren.storage.store import Store
from worker.monitoring.metrics import Metrics
from worker.process import protocol
from worker.process.training_process import TrainingProcess, TrainingProcessLostError

MESSAGES = [
    protocol.EvaluateChunk(
        body=b"\x00body", skip={3, 1}, attempts={1: 2}, alone={4}, folds={5: {"0": {"fit_seconds": 1.5}}}
    ),
    protocol.EvaluateChunk(body=b"{}", left_behind=False),
    protocol.StopAfter(what="trial"),
    protocol.ResultsDurable(given_up=True),
    protocol.TrialsBegin(),
    protocol.FoldsDone(folds=[protocol.FoldDone(number=1, fold=0, result={"error": None, "epochs": {"loss": [0.5]}})]),
    protocol.EpochsDone(
        number=1, fold=2, network=0, epochs={"epoch": [1, 2], "loss": [0.5, -math.inf]}, kept=1, checkpointed=True,
        saved_seconds=0.5, about={"params": {"units": 8}, "started_at": now()},
    ),
    protocol.TrialEnded(number=2**40, document=pack({"state": "COMPLETE"})),
    protocol.TrialEnded(number=1, document=b"", output_part=7),
    protocol.ChunkEnded(keeps_checkpoints=True),
    protocol.ChunkRefused(reason="no data \N{SNOWMAN}"),
    protocol.ReadBlob(digest="a" * 64, start=2**33),
    protocol.BlobContent(content=b""),
    protocol.BlobContent(content=bytes(range(256))),
    protocol.StoreModel(number=1, cls="a.B", format="skops", facts={"n": 1, "named": True}, content=b"model"),
    protocol.ModelStored(document={"file": "f", "bytes": 5}),
    protocol.ReadStates(trials={"study": [1, 2]}),
    protocol.StudyStates(states={"study": "RUNNING"}, ended={"study": [1], "other": []}),
    protocol.QuestionFailed(error="StoreError", text="away"),
]  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def test_every_message_arrives_as_it_was_sent(ends: tuple[Connection, Connection]) -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(protocol.Message)), "each kind is looked at"
    for message in MESSAGES:
        protocol.send(ends[0], message)
        received = protocol.receive(ends[1])
        assert received == message
        assert repr(asdict(received)) == repr(asdict(message)), "integers stay integers"
    assert not ends[1].poll(), "nothing is left of any"


def test_content_is_sent_beside_the_document_for_it_may_be_too_large(ends: tuple[Connection, Connection]) -> None:
    protocol.send(ends[0], protocol.BlobContent(content=b"x" * 1000))
    assert len(ends[1].recv_bytes()) < 100
    assert ends[1].recv_bytes() == b"x" * 1000


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "0 bytes that are not a message: InvalidBSON"),
        (b"S", "1 bytes that are not a message: InvalidBSON"),
        (pack({}), "5 bytes that are not a message: KeyError"),
        (pack({"message": "Message"}), "not a message: KeyError"),
        (pack({"message": "StopAfter", "what": "epoch"}), "not a StopAfter: Input should be 'trial' or 'fold'"),
        (pack({"message": "TrialEnded", "document": b""}), "not a TrialEnded: Field required"),
    ],
)
def test_what_is_no_message_is_refused(sent: bytes, reason: str, ends: tuple[Connection, Connection]) -> None:
    ends[0].send_bytes(sent)
    with pytest.raises(MessageError, match=reason):
        protocol.receive(ends[1])


def test_the_end_of_the_other_process_is_told_from_a_message(ends: tuple[Connection, Connection]) -> None:
    ends[0].close()
    with pytest.raises(EOFError):
        protocol.receive(ends[1])


def test_a_training_process_that_sends_no_message_is_ended(ends: tuple[Connection, Connection]) -> None:
    process = TrainingProcess("worker", cast("Store", None), Metrics())
    process._connection = ends[1]
    ends[0].send_bytes(b"nope")
    with pytest.raises(TrainingProcessLostError, match="the training process sent 4 bytes that are not a message"):
        process.receive(10)
    assert ends[1].closed
