"""Several stacks of one process: each has its own servers, and the environment is in the end what
it was before."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from polling import until

from producer.lifetime import Lasting
from producer.stack import LocalStack, local_stack, stack
from producer.stack.process import Guarded
from producer.stack.providers import Server, Site
from warren.errors import StackError
from warren.settings import named_by_others, named_servers

NAMES = ("AMQP_URL", "MONGO_URL")


@pytest.fixture(params=["nothing", "both"])
def before(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the environment names before any stack: nothing, or both servers."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        if request.param == "both":
            monkeypatch.setenv(name, f"{name}-of-before")
    return named()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """What the environment names for each start; processes that only sleep stand in for
    the servers."""
    calls: list[dict[str, str]] = []
    numbers = itertools.count()
    processes: list[Guarded] = []

    def start(kind: str) -> Callable[[Site, Mapping[str, str]], Server]:
        def start_it(site: Site, environ: Mapping[str, str]) -> Server:
            calls.append({name: environ[name] for name in NAMES if name in environ})
            guarded = Guarded(["sleep", "600"], log=site.logs / f"{kind}.log", grace=0.0, hold=site.hold)
            processes.append(guarded)
            return Server(url=f"{kind}://{next(numbers)}", how=kind, guarded=guarded)

        return start_it

    monkeypatch.setattr(stack, "start_broker", start("amqp"))
    monkeypatch.setattr(stack, "start_database", start("mongodb"))
    yield calls
    for process in processes:
        process.stop()


def named() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def urls(up: LocalStack) -> dict[str, str]:
    return {"AMQP_URL": up.amqp_url, "MONGO_URL": up.mongo_url}


def alive(up: LocalStack) -> bool:
    servers = (up._require_up().broker, up._require_up().database)
    return all(server.guarded is not None and server.guarded.running for server in servers)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(order, marks=[] if order in ((0, 1, 2), (2, 1, 0)) else pytest.mark.slow)
        for order in itertools.permutations(range(3))
    ],
    ids=str,
)
def test_stacks_that_end_in_any_order_leave_the_environment_as_it_was(
    before: dict[str, str], seen: list[dict[str, str]], order: tuple[int, ...]
) -> None:
    ups = [local_stack(workers=0).start() for _ in range(3)]
    names = [urls(up) for up in ups]
    assert seen == [before] * 6, "no stack builds on another's servers"
    left = set(range(3))
    for number in order:
        assert named() == names[max(left)]
        assert all(alive(ups[other]) for other in left)
        ups[number].stop()
        left.remove(number)
    assert named() == before


def test_a_stack_inside_of_another_gives_its_names_back(before: dict[str, str], seen: list[dict[str, str]]) -> None:
    with local_stack(workers=0) as outer:
        with local_stack(workers=0) as inner:
            assert named() == urls(inner) != urls(outer)
        assert named() == urls(outer)
        assert alive(outer)
    assert named() == before


def test_the_cell_that_starts_a_stack_may_be_run_again(before: dict[str, str], seen: list[dict[str, str]]) -> None:
    lines: list[str] = []
    up = local_stack(workers=0, log=lines.append).start()
    first = up.data_dir
    up = local_stack(workers=0, log=lines.append).start()
    gc.collect()
    until(lambda: not first.exists(), what="the first one ends, for nobody can use it any more")
    assert "Stopping a stack that no variable holds any more" in lines
    assert alive(up)
    assert named() == urls(up)
    up.stop()
    assert named() == before


def test_a_started_stack_takes_the_place_of_the_one_on_the_same_folder(
    before: dict[str, str], seen: list[dict[str, str]], tmp_path: Path
) -> None:
    lines: list[str] = []
    first = local_stack(workers=0, data_dir=tmp_path).start()
    (tmp_path / "other").mkdir()
    second = local_stack(workers=0, data_dir=tmp_path / "other" / "..", log=lines.append).start()
    assert lines[0] == f"Stopping the stack that runs on {tmp_path}: this one replaces it"
    with pytest.raises(StackError, match="does not run"):
        _ = first.amqp_url
    first.stop()
    assert alive(second)
    assert named() == urls(second)
    first.start()
    assert alive(first)
    first.stop()
    second.stop()
    assert named() == before


def test_a_folder_that_a_block_uses_is_taken_from_nobody(
    before: dict[str, str], seen: list[dict[str, str]], tmp_path: Path
) -> None:
    with local_stack(workers=0, data_dir=tmp_path) as up:
        with pytest.raises(StackError, match="another stack uses this folder"):
            local_stack(workers=0, data_dir=tmp_path).start()
        assert alive(up)
    up = local_stack(workers=0, data_dir=tmp_path).start()
    with pytest.raises(StackError, match="another stack uses this folder"), local_stack(workers=0, data_dir=tmp_path):
        pass
    assert alive(up)
    del up
    with local_stack(workers=0, data_dir=tmp_path) as up:
        assert alive(up)
    assert named() == before


def test_a_stack_inside_of_a_connection_uses_what_that_names(
    seen: list[dict[str, str]], before: dict[str, str]
) -> None:
    with named_servers("amqp://cluster", "mongodb://cluster"):
        with local_stack(workers=0):
            pass
        assert named() == {"AMQP_URL": "amqp://cluster", "MONGO_URL": "mongodb://cluster"}
    assert seen == [{"AMQP_URL": "amqp://cluster", "MONGO_URL": "mongodb://cluster"}] * 2
    assert named() == before


def test_what_a_user_names_inside_of_a_stack_is_no_stack_s(before: dict[str, str]) -> None:
    with named_servers("amqp://a", "mongodb://a", private=True), named_servers("amqp://b", "mongodb://b", private=True):
        assert {name: url for name, url in named_by_others().items() if name in NAMES} == before
        os.environ["MONGO_URL"] = "mongodb://mine"
        found = named_by_others()
        assert (found["AMQP_URL"], found["MONGO_URL"]) == ("amqp://b", "mongodb://mine")
    assert named() == before


@pytest.mark.parametrize("given", NAMES)
def test_one_server_of_somebody_s_with_one_of_its_own_is_refused(
    seen: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, given: str, tmp_path: Path
) -> None:
    missing = next(name for name in NAMES if name != given)
    monkeypatch.setenv(given, "url://ann:s3cret@colleague")
    for nothing in (None, ""):
        monkeypatch.setenv(missing, "") if nothing is not None else monkeypatch.delenv(missing, raising=False)
        with pytest.raises(StackError, match=rf"^{given} is set and {missing} is not: .*Unset {given} .*set {missing}"):
            local_stack(workers=0, data_dir=tmp_path / "new").start()
    assert not seen
    assert not (tmp_path / "new").exists()


class Owner:
    """Stands for something that lasts."""


def test_what_lost_its_owner_ends_once_and_by_itself() -> None:
    ended: list[str] = []
    said: list[str] = []
    undo = contextlib.ExitStack()
    undo.callback(ended.append, "over")
    owner = Owner()
    lasting = Lasting(owner, undo, said.append, "nobody holds it")
    assert lasting.has_owner
    del owner
    until(lambda: ended == ["over"], what="it is over")
    lasting.end()
    assert (ended, said, lasting.has_owner) == (["over"], ["nobody holds it"], False)


def test_what_was_ended_says_nothing_when_its_owner_goes() -> None:
    said: list[str] = []
    owner = Owner()
    lasting = Lasting(owner, contextlib.ExitStack(), said.append, "nobody holds it")
    lasting.end()
    del owner
    assert said == []


def test_a_forked_copy_ends_nothing() -> None:
    ended: list[str] = []
    undo = contextlib.ExitStack()
    undo.callback(ended.append, "over")
    owner = Owner()
    lasting = Lasting(owner, undo, ended.append, "nobody holds it")
    lasting._process += 1
    del owner
    lasting._process -= 1
    assert ended == []
