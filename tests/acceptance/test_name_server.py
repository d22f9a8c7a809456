"""``mongodb+srv://`` while the name server is away: a worker waits for it like a server; its
training needs none."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from acceptance.conftest import SUPPORT, StartWorker, X, Y, trainer_of
from faulty import Sleeps
from polling import until
from servers import with_option

from producer import submit
from warren.settings import Settings


def test_a_worker_waits_for_the_name_server_and_its_training_does_not(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    database, log, names = urlsplit(servers.mongo_url), tmp_path / "worker-0.log", tmp_path / "names"
    user = database.netloc.rpartition("@")[0]
    by_name = database._replace(scheme="mongodb+srv", netloc=f"{user}@cluster.example.test")
    study = submit(Sleeps(), {"number": [1, 2, 3]}, X, Y, cv=2)
    worker = start_worker(
        MONGO_URL=with_option(by_name.geturl(), "tls=false"),
        PYTHONPATH=os.pathsep.join([str(SUPPORT / "resolver"), str(SUPPORT)]),
        NAMES=str(names),
        WARREN_CONNECT_SECONDS="2",
    )
    until(lambda: "the name server does not know this name" in log.read_text(), what="the worker says what is away")
    assert worker.poll() is None
    names.write_text(f"{database.hostname}:{database.port}")
    study.wait(timeout=60, progress=False)
    # Another training process: the worker has the connections.
    first = trainer_of(worker)
    assert first is not None
    names.rename(tmp_path / "away")
    first.kill()
    again = submit(Sleeps(), {"number": [4, 5, 6]}, X[:, ::-1], Y, cv=2)
    again.wait(timeout=60, progress=False)
    second = trainer_of(worker)
    assert second is not None
    assert second.pid != first.pid
    assert set(again.results()["state"]) | set(study.results()["state"]) == {"COMPLETE"}
