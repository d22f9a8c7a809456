"""A message that is not its study's own: set aside with the reason, and nothing of it trained,
counted or told."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from evaluating import SMALL, Worker, rounds
from test_runner import Kept, Scripted, ended

from warren.messages import Chunk, encode_chunk
from warren.safety.signing import Keys, signed_chunk, signed_model
from warren.settings import Settings
from warren.storage.documents import pack, trial_id, unpack
from warren.storage.store import Store
from worker.chunk.outcome import Verdict
from worker.chunk.runner import ChunkRunner
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process.protocol import TrialEnded
from worker.process.training_process import TrainingProcess

KEY, OTHER = "k" * 32, "o" * 32


def runner(store: Kept, trainer: Scripted, *keys: str) -> ChunkRunner:
    settings = Settings(WARREN_KEY=",".join(keys))
    return ChunkRunner(cast("Store", store), settings, cast("TrainingProcess", trainer), Metrics(), Pulse(settings))


def sign(body: bytes, key: str = KEY, database: str | None = "a" * 32) -> str | None:
    return Keys([key]).sign("warren/chunk", signed_chunk(database, body))


@pytest.fixture
def chunk() -> Chunk:
    return Worker().chunk(SMALL, *rounds(9, max_depth=2), *rounds(9, max_depth=3))


def noted(chunk: Chunk, **fields: Any) -> Kept:
    """Return the store of a study that has published this chunk, as a version that notes
    it or none."""
    about = {"publications": 1, "n_trials": 2, "objective": chunk.objective.model_dump(), "estimator_in_grid": False}
    store = Kept(**about | {"noted": [1], "trial_timeout": None} | fields)
    store.bodies = {encode_chunk(chunk)} if store.document and 1 in store.document["noted"] else set()
    return store


def changed(chunk: Chunk, change: dict[str, Any]) -> bytes:
    return json.dumps(json.loads(encode_chunk(chunk)) | change).encode()


def test_a_body_that_was_published_is_trained(chunk: Chunk) -> None:
    trainer = Scripted(ended(0), ended(1))
    assert runner(noted(chunk), trainer).run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert len(trainer.orders) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"trials": [{"number": 2, "params": {}}]},
        {"trials": [{"number": 0, "params": {"max_depth": "text"}}]},
        {"trial_timeout": 0.001},
        {"share_fits": False},
        {"index": 5},
        {"generation": 2},
        {"schema_version": 9},
        {"trials": [{"number": 0, "params": {"callbacks": "x"}}, {"number": 1, "params": {}}]},
    ],
)
def test_a_body_that_was_not_published_is_set_aside(chunk: Chunk, change: dict[str, Any]) -> None:
    store, trainer = noted(chunk), Scripted()
    outcome = runner(store, trainer).run(changed(chunk, change))
    assert outcome.verdict == Verdict.DEAD_LETTER
    assert outcome.reason
    assert trainer.orders == []
    assert store.letters == [], "the study counts no trial of it as dead"


def test_a_body_of_a_publication_that_has_just_ended_is_dropped(chunk: Chunk) -> None:
    store = noted(chunk)
    one = runner(store, Scripted(ended(0), ended(1)))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    # Seen as running a moment ago, and published again since: earlier notes are gone.
    store.bodies = set()
    store.document = (store.document or {}) | {"generation": 2, "publications": 2, "noted": [1, 2]}
    assert one.run(encode_chunk(chunk)).verdict == Verdict.DROP


def test_a_chunk_of_an_earlier_version_is_compared_with_its_study(chunk: Chunk) -> None:
    trainer = Scripted(ended(0), ended(1))
    assert runner(noted(chunk, noted=[]), trainer).run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    objective = json.loads(encode_chunk(chunk))["objective"]
    for change, why in [
        ({"trials": [{"number": 2, "params": {}}]}, "trial 2 is not"),
        ({"objective": objective | {"n_splits": 7}}, "objective is not"),
        ({"objective": objective | {"unknown": 7}}, "content is not"),
        ({"trial_timeout": 0.001}, "time limit is not"),
        ({"generation": 2}, "was published 1 time"),
        ({"trials": [{"number": 0, "params": {}, "estimator": objective["estimator"]}]}, "own estimators are not"),
    ]:
        store = noted(chunk, noted=[])
        outcome = runner(store, Scripted()).run(changed(chunk, change))
        assert outcome.verdict == Verdict.DEAD_LETTER
        if "unknown" not in str(change):
            assert why in outcome.reason
        assert store.letters == []


def test_a_study_is_told_of_its_own_chunk_that_no_worker_can_read(chunk: Chunk) -> None:
    store, body = noted(chunk), changed(chunk, {"schema_version": 9})
    store.bodies = {body}
    assert runner(store, Scripted()).run(body).verdict == Verdict.DEAD_LETTER
    assert [letter["numbers"] for letter in store.letters] == [[0, 1]]


def test_a_worker_with_a_key_reads_nothing_that_is_not_signed(chunk: Chunk) -> None:
    body = encode_chunk(chunk)
    for signature, why in [
        (None, "it is not signed"),
        ("nonsense", "something other"),
        (sign(body, OTHER), "another key"),
        (sign(body + b" "), "was changed"),
        (sign(body, database="b" * 32), "was changed"),
    ]:
        store, trainer = noted(chunk), Scripted()
        outcome = runner(store, trainer, KEY).run(body, database="a" * 32, signature=signature)
        assert outcome.verdict == Verdict.DEAD_LETTER
        assert why in outcome.reason
        assert trainer.orders == store.letters == []
        assert store.looks == 0, "it is not even read"


def test_keys_are_changed_without_a_pause(chunk: Chunk) -> None:
    body = encode_chunk(chunk)
    for key, keys in [(KEY, (KEY, OTHER)), (OTHER, (KEY, OTHER)), (KEY, (KEY,))]:
        one = runner(noted(chunk), Scripted(ended(0), ended(1)), *keys)
        assert one.run(body, database="a" * 32, signature=sign(body, key)).verdict == Verdict.ACKNOWLEDGE


def test_a_signature_does_not_replace_what_was_published(chunk: Chunk) -> None:
    body, store = changed(chunk, {"trial_timeout": 5.0}), noted(chunk)
    outcome = runner(store, Scripted(), KEY).run(body, database="a" * 32, signature=sign(body))
    assert outcome.verdict == Verdict.DEAD_LETTER
    assert "differs from what was published" in outcome.reason


@pytest.mark.parametrize("keys", [(), (KEY,)])
def test_a_worker_signs_the_models_that_it_keeps(chunk: Chunk, keys: tuple[str, ...]) -> None:
    keeping = chunk.model_copy(
        update={"trials": chunk.trials[:1], "objective": chunk.objective.model_copy(update={"keep_model": True})}
    )
    model = {"file": "f", "sha256": "0" * 64, "format": "skops", "class": "a.B", "facts": {"n": 1.5}, "bytes": 1}
    document = unpack(ended(0).document) | {"model": model}
    store = noted(keeping)
    one = runner(store, Scripted(TrialEnded(number=0, document=pack(document))), *keys)
    body = encode_chunk(keeping)
    assert one.run(body, database="a" * 32, signature=sign(body)).verdict == Verdict.ACKNOWLEDGE
    kept = store.kept[0]
    assert kept["_id"] == trial_id("study", 0)
    signature = kept["model"].pop("signature", None)
    assert kept["model"] == model
    assert (signature is not None) == bool(keys)
    assert Keys(keys).problem("warren/model", signed_model("study", 0, kept["model"]), signature) is None
    if keys:
        assert Keys(keys).problem("warren/model", signed_model("study", 1, kept["model"]), signature)
