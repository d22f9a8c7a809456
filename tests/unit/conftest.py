"""What several files share: a worker's evaluator, a study for the commands, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster_api import FakeCluster
from commands import FakeStudy
from evaluating import Worker
from piped import Noted
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from producer import Cluster
from producer.cli import studies
from producer.study import Study
from warren.errors import StudyError
from warren.testing import in_process_worker
from worker.training.guards import uninstall


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute on one thread, as workers do: threads that wait for each other take a core from
    other tests."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def _unguarded() -> Iterator[None]:
    """Remove, after each test, the guards that a worker's code puts on the libraries for good."""
    yield
    uninstall()


@pytest.fixture
def in_process() -> Iterator[None]:
    """Let this process be broker, database and worker."""
    with in_process_worker():
        yield


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rounds of every fit that XGBoost itself makes, in order."""
    seen: list[int] = []
    fit = XGBClassifier.fit

    def spy(self: XGBClassifier, *data: Any, **how: Any) -> Any:
        seen.append(self.n_estimators)
        return fit(self, *data, **how)

    monkeypatch.setattr(XGBClassifier, "fit", spy)
    return seen


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with the steps that note it, in order."""
    found: list[str] = []
    monkeypatch.setattr(Noted, "notes", found)
    return found


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    """The only study there is."""
    fake = FakeStudy()

    def attach(study_id: str) -> FakeStudy:
        if study_id != fake.id:
            raise StudyError(f"no study {study_id!r}: the newest are {fake.id}")
        return fake

    @contextmanager
    def open_store() -> Any:
        ids = [SimpleNamespace(id=name) for name in ("cancer-0a1b2c", "other-1", "other-2")]
        yield SimpleNamespace(studies=lambda _: ids)

    monkeypatch.setattr(Study, "attach", attach)
    monkeypatch.setattr(studies, "_open_store", open_store)
    return fake


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster with workers, which the kubeconfig names."""
    with FakeCluster() as server:
        server.deploy()
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        yield server


@pytest.fixture
def cluster(fake: FakeCluster) -> Cluster:
    """That cluster as a notebook has it."""
    return Cluster()
