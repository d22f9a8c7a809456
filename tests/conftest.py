"""Servers for the tests: real ones, of their own, never those that the environment names."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from servers import Urls, bring_back, empty_queues, keep_queues, private_stack, settings_of, with_option
from shared_servers import SharedServers, shared_servers, shared_workers
from xdist.scheduler import LoadFileScheduling

from producer.stack import LocalStack
from warren.safety.signing import tell_unsigned
from warren.settings import Settings
from warren.storage.store import Store

# The Kubernetes client leads to it by way of jsonschema. It builds a grammar for three seconds,
# which no test needs.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

_UNIT = Path(__file__).parent / "unit"
_SERVERS = pytest.StashKey[SharedServers]()
# Tests that import TensorFlow, which takes six seconds.
_NETWORKS = re.compile(r"/test_(networks\w*|shared_epochs|export|export_networks|keras_trials)\.py")


class _ByFile(LoadFileScheduling):
    """Keeps the tests of a file in one process of ``pytest -n``, and all that import TensorFlow in
    the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "networks" if _NETWORKS.search(file) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Import TensorFlow in one process instead of in all."""
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the processes of ``pytest -n`` servers that they share, unless all their tests are
    unit tests."""
    config: pytest.Config = node.config
    if all(Path(arg.partition("::")[0]).resolve().is_relative_to(_UNIT) for arg in config.args):
        return
    if _SERVERS not in config.stash:
        config.stash[_SERVERS] = SharedServers(config.getoption("numprocesses") or len(config.getoption("tx")))
    config.stash[_SERVERS].tell(node.workerinput)


# A machine that is busy makes an example slow and no test wrong.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")


def pytest_configure() -> None:
    """Take Ctrl-C, which a shell lets its background jobs ignore: the programs that tests interrupt
    inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVERS in config.stash:
        config.stash[_SERVERS].close()


@pytest.fixture(scope="session", autouse=True)
def _no_key_was_told() -> None:
    """Let what a process says once, that it has no key, be said: tests look at what
    else is logged."""
    tell_unsigned()


@pytest.fixture(scope="session")
def private_servers(request: pytest.FixtureRequest) -> Iterator[Urls]:
    if found := shared_servers(request.config):
        yield found
        return
    with private_stack(workers=0) as stack:
        yield Urls(stack.amqp_url, stack.mongo_url)


@pytest.fixture(scope="session")
def private_workers(request: pytest.FixtureRequest) -> Iterator[Urls]:
    if found := shared_workers(request.config):
        yield found
        return
    with private_stack(workers=2) as stack:
        yield Urls(stack.amqp_url, stack.mongo_url)


@pytest.fixture(scope="module")
def fragile_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Servers of one file's own. A folder that is kept, so that what was acknowledged is
    on the disk."""
    with private_stack(workers=0, data_dir=tmp_path_factory.mktemp("fragile")) as stack:
        keep_queues(stack)
        yield stack


@pytest.fixture
def servers(private_servers: Urls, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A broker with empty queues and a database of the test's own; no worker listens."""
    settings = settings_of(private_servers, monkeypatch)
    yield settings
    empty_queues(settings)


@pytest.fixture
def fragile(fragile_servers: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    """As `servers`, on servers that the test may stop and trouble: no other file uses them."""
    settings = settings_of(fragile_servers, monkeypatch)
    yield fragile_servers
    bring_back(fragile_servers)
    empty_queues(settings)


@pytest.fixture
def stack(private_workers: Urls, monkeypatch: pytest.MonkeyPatch) -> Urls:
    """A broker, a database and two workers of one thread, which tests of other processes use at
    the same time.

    Name your studies apart, and don't count on idle workers or on a database without other studies.
    """
    monkeypatch.setenv("AMQP_URL", private_workers.amqp_url)
    # Another URL than the stack's own: on its own one, `local_stack` would take these servers for
    # another stack's.
    monkeypatch.setenv("MONGO_URL", with_option(private_workers.mongo_url, "appName=tests"))
    return private_workers


@pytest.fixture
def store(servers: Settings) -> Iterator[Store]:
    """An empty store on the test's own database."""
    opened = Store(servers)
    opened.prepare()
    yield opened
    opened.close()
