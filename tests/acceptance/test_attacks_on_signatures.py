"""Somebody who may publish or write to the database, where workers and readers have a key: all else
is refused."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from attacking import (
    FOREST,
    N_TRIALS,
    changed,
    dead_letters,
    held_up,
    is_what_scikit_learn_finds,
    overheard,
    send,
    submit_trees,
)
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from one_worker import OneWorker, one_worker
from servers import Urls

from producer import Study
from warren.broker import SIGNATURE_HEADER
from warren.errors import StudyError
from warren.safety.signing import Keys, new_key, signed_chunk
from warren.storage.documents import trial_id

KEY, OLD, OTHER = new_key(), new_key(), new_key()
RAW = CodecOptions(document_class=RawBSONDocument)


@pytest.fixture(scope="module")
def keyed(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorker]:
    """A worker in whose environment a new key and the one before are."""
    file = tmp_path_factory.mktemp("keys") / "key"
    file.write_text(f"{KEY}\n{OLD}\n")
    file.chmod(0o600)
    with one_worker(private_servers, tmp_path_factory.mktemp("keyed"), WARREN_KEY=str(file)) as found:
        yield found


@contextmanager
def key_here(*keys: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARREN_KEY", ",".join(keys))
        yield


def test_a_worker_with_a_key_takes_what_is_signed_with_it_alone(keyed: OneWorker) -> None:
    with held_up(keyed), overheard() as bodies, key_here(KEY):
        study = submit_trees()
        assert len(bodies) == 2
        database = study.store.identity()
        signatures = [Keys([KEY]).sign("warren/chunk", signed_chunk(database, body)) for body in bodies]
        wrong: dict[bytes, tuple[str | None, str]] = {
            bodies[0] + b" ": (None, "is not signed"),
            bodies[0] + b"  ": ("x" * 73, "something other"),
            bodies[0] + b"   ": (signatures[0], "was changed"),
            bodies[1] + b" ": (Keys([OTHER]).sign("warren/chunk", signed_chunk(database, bodies[1])), "another key"),
            changed(bodies[0], lambda m: {"trial_timeout": 1e-6}): (signatures[0], "was changed"),
            changed(bodies[0], lambda m: {"index": 9}): (signatures[1], "was changed"),
            changed(bodies[0], lambda m: {"schema_version": 99}): (signatures[0], "was changed"),
        }
        forged = [(body, {SIGNATURE_HEADER: signature} if signature else {}) for body, (signature, _) in wrong.items()]
        # The body is the study's, the signature another chunk's.
        send(keyed, study, *forged, (bodies[0], {SIGNATURE_HEADER: str(signatures[1])}))
    study.wait(timeout=60, progress=False)
    reasons = dead_letters(keyed, len(wrong) + 1)
    assert "was changed" in reasons.pop(bodies[0])
    assert {body: why for body, (_, why) in wrong.items() if why not in reasons[body]} == {}
    assert study.status().dead == 0
    with key_here(KEY):
        assert is_what_scikit_learn_finds(Study.attach(study.id))


def test_keys_are_changed_while_studies_run(keyed: OneWorker) -> None:
    with key_here(OLD):
        before = submit_trees()
        before.wait(timeout=60, progress=False)
    with key_here(KEY, OLD):
        assert is_what_scikit_learn_finds(Study.attach(before.id))
        after = submit_trees()
        after.wait(timeout=60, progress=False)
    with key_here(KEY):
        assert is_what_scikit_learn_finds(Study.attach(after.id))
        with pytest.raises(StudyError, match="is signed with another key"):
            Study.attach(before.id)


def test_a_study_of_before_the_key_waits_until_it_is_signed(keyed: OneWorker, caplog: pytest.LogCaptureFixture) -> None:
    name = uuid4().hex
    study = submit_trees(name)
    reasons = dead_letters(keyed, 2)
    assert all("it is not signed, and this worker has a WARREN_KEY" in reason for reason in reasons.values())
    assert (study.status().dead, study.status().done) == (0, 0)
    with key_here(KEY):
        with pytest.raises(StudyError, match=r"is not signed.*the same submit\(\) with this key signs it"):
            Study.attach(study.id)
        with caplog.at_level(logging.WARNING):
            assert study.id not in [one.id for one in Study.list()]
        assert submit_trees(name).id == study.id
        again = Study.attach(study.id)
        again.wait(timeout=60, progress=False)
        assert is_what_scikit_learn_finds(again)
        assert study.id in [one.id for one in Study.list()]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n_trials": 7}, "was changed after it was signed"),
        ({"name": "x"}, "was changed after it was signed"),
        ({"objective.estimator": FOREST}, "was changed after it was signed"),
        ({"estimator_in_grid": True}, "was changed after it was signed"),
        ({"space": [{"max_depth": [7]}]}, "has a space that differs from the signed one"),
        ({"signature": None}, "is not signed"),
    ],
)
def test_a_reader_with_a_key_believes_no_study_that_was_changed(
    keyed: OneWorker, change: dict[str, Any], why: str
) -> None:
    with key_here(KEY):
        name = uuid4().hex
        study = submit_trees(name)
        study.wait(timeout=60, progress=False)
        study.store.update_study(study.id, {"$set": change})
        with pytest.raises(StudyError, match=why):
            _ = Study.attach(study.id).best_params_
        # Its owner submits it again, and what has ended stays.
        assert submit_trees(name).status().complete == N_TRIALS
        assert is_what_scikit_learn_finds(Study.attach(study.id))


def test_a_model_that_a_worker_did_not_sign_is_trained_again(
    keyed: OneWorker, caplog: pytest.LogCaptureFixture
) -> None:
    with key_here(KEY):
        study = submit_trees()
        study.wait(timeout=60, progress=False)
        assert study.best_model(0, timeout=60).get_depth() == 1
        store = study.store
        [own_id] = store.models_of(study.id)
        kept = (store.trials.one(own_id, 0) or {})["model"]
        for change in ({"signature": None}, {"facts": {"n_features": 9}}, {"sha256": "0" * 64}, {"format": "lightgbm"}):
            store.trials._collection.update_one(
                {"_id": trial_id(own_id, 0)}, {"$set": {f"model.{name}": value for name, value in change.items()}}
            )
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert study.best_model(0, timeout=60).get_depth() == 1
            assert "it is trained again" in caplog.text
        # Another study's model, signed as it is.
        other = submit_trees()
        other.wait(timeout=60, progress=False)
        other.best_model(5, timeout=60)
        [other_id] = store.models_of(other.id)
        model = (store.trials.one(other_id, 0) or {})["model"]
        assert model["signature"] != kept["signature"]
        store.trials._collection.update_one({"_id": trial_id(own_id, 0)}, {"$set": {"model": model}})
        assert study.best_model(0, timeout=60).get_depth() == 1


def test_a_key_is_nowhere_but_in_its_file(keyed: OneWorker) -> None:
    with key_here(KEY), overheard() as bodies:
        study = submit_trees()
        study.wait(timeout=60, progress=False)
        study.best_model(timeout=60)
        assert KEY not in repr(keyed.settings) + repr(study) + str(study)
    process = psutil.Process(keyed.process.pid)
    assert all(KEY not in " ".join(one.cmdline()) for one in (process, *process.children(recursive=True)))
    assert KEY not in keyed.log.read_text()
    assert not any(KEY.encode() in body for body in bodies)
    database = study.store._client[study.store.database]
    for name in database.list_collection_names():
        assert KEY.encode() not in b"".join(raw.raw for raw in database.get_collection(name, RAW).find())


def test_a_worker_with_a_file_that_others_can_read_does_not_start(keyed: OneWorker, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    command = [sys.executable, "-m", "worker"]
    ended = subprocess.run(
        command, env={**os.environ, "WARREN_KEY": str(file)}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"chmod 600 {file}\n")
    assert KEY not in ended.stderr + ended.stdout
