"""Ports, waiting and short commands of a local stack."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path

import pytest

from producer.stack.ports import HOST, PortTakenError, free_ports, with_free_ports
from producer.stack.process import Guarded, run_tool, wait_until_up
from warren.errors import StackError


@pytest.fixture
def never() -> threading.Event:
    return threading.Event()


def test_a_folder_gets_its_ports_again_unless_they_are_taken(tmp_path: Path) -> None:
    memory = tmp_path / "database.ports"
    first = with_free_ports(2, lambda ports: ports, memory)
    assert with_free_ports(2, lambda ports: ports, memory) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first[0]))
        other.listen()
        assert with_free_ports(2, lambda ports: ports, memory) != first


def test_free_ports_differ_and_can_be_listened_on() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    with contextlib.ExitStack() as sockets:
        for port in ports:
            held = sockets.enter_context(socket.socket())
            held.bind((HOST, port))


def test_a_port_that_was_taken_is_replaced_by_another() -> None:
    seen: list[int] = []

    def start(ports: tuple[int, ...]) -> str:
        seen.extend(ports)
        if len(seen) < 3:
            raise PortTakenError("taken")
        return "up"

    assert with_free_ports(1, start) == "up"
    assert len(set(seen)) == 3


def test_ports_that_are_always_taken_end_in_an_error() -> None:
    def start(ports: tuple[int, ...]) -> None:
        raise PortTakenError(f"{ports[0]} is taken")

    with pytest.raises(PortTakenError, match="is taken"):
        with_free_ports(1, start)


def test_another_fault_is_not_tried_again() -> None:
    calls = []

    def start(ports: tuple[int, ...]) -> None:
        calls.append(ports)
        raise StackError("broken")

    with pytest.raises(StackError, match="broken"):
        with_free_ports(1, start)
    assert len(calls) == 1


def test_a_server_that_dies_while_starting_shows_the_end_of_its_log(tmp_path: Path, never: threading.Event) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do echo line $i; done; echo no licence; exit 4"
    guarded = Guarded(["/bin/sh", "-c", script], log=tmp_path / "log", grace=0.0)
    with pytest.raises(StackError) as caught:
        wait_until_up(guarded, lambda: False, seconds=30.0, cancelled=never)
    guarded.stop()
    text = str(caught.value)
    assert "exit code 4 while starting" in text
    assert text.endswith("line 14\nno licence")
    assert "line 2\n" not in text
    assert not isinstance(caught.value, PortTakenError)


@pytest.mark.parametrize(
    "message",
    [
        "OSError: [Errno 98] Address already in use",
        "{listen_error,eaddrinuse}",
        '{failed_to_start_child,prelaunch,{dist_port_already_used,44419,not_erlang,"localhost"}}',
        "{failed_to_start_child,net_kernel,{'EXIT',nodistribution}}",
        "Bind for 127.0.0.1:5672 failed: port is already allocated.",
    ],
)
def test_a_server_whose_port_is_taken_says_so(tmp_path: Path, never: threading.Event, message: str) -> None:
    guarded = Guarded(["/bin/sh", "-c", 'echo "$0"; exit 1', message], log=tmp_path / "log", grace=0.0)
    with pytest.raises(PortTakenError):
        wait_until_up(guarded, lambda: False, seconds=30.0, cancelled=never)
    guarded.stop()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, never: threading.Event) -> None:
    guarded = Guarded(["/bin/sh", "-c", "echo thinking; exec sleep 600"], log=tmp_path / "log", grace=0.0)
    with pytest.raises(StackError, match=r"no answer within 0.5 s; the end of its log:\nthinking"):
        wait_until_up(guarded, lambda: False, seconds=0.5, cancelled=never)
    guarded.stop()


def test_waiting_ends_when_the_start_is_given_up(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    guarded = Guarded(["sleep", "600"], log=tmp_path / "log", grace=0.0)
    with pytest.raises(StackError, match="interrupted"):
        wait_until_up(guarded, lambda: False, seconds=600.0, cancelled=cancelled)
    guarded.stop()


def test_who_listens_on_a_port_is_told_apart(tmp_path: Path, never: threading.Event) -> None:
    (port,) = free_ports(1)
    script = f"import socket, time; s = socket.create_server(({HOST!r}, {port})); time.sleep(600)"
    guarded = Guarded([sys.executable, "-c", script], log=tmp_path / "log", grace=0.0)
    other = Guarded(["sleep", "600"], log=tmp_path / "other", grace=0.0)
    wait_until_up(guarded, lambda: guarded.listens_on(port), seconds=30.0, cancelled=never)
    assert not other.listens_on(port)
    guarded.stop()
    other.stop()
    assert not guarded.listens_on(port)


def test_a_short_command_returns_what_it_wrote(never: threading.Event) -> None:
    assert run_tool(["echo", "hello"], seconds=30.0, cancelled=never) == "hello\n"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["/no/such/tool", "now"], "/no/such/tool now: No such file or directory"),
        (["/bin/sh", "-c", "echo one >&2; echo two >&2; exit 1"], "one / two"),
        (["false"], "false: exit code 1"),
    ],
)
def test_a_short_command_that_fails_says_why(never: threading.Event, command: list[str], text: str) -> None:
    with pytest.raises(StackError) as caught:
        run_tool(command, seconds=30.0, cancelled=never)
    assert str(caught.value).endswith(text)


def test_a_short_command_that_hangs_is_ended(never: threading.Event) -> None:
    with pytest.raises(StackError, match=r"sleep 600: not done after 0.2 s"):
        run_tool(["sleep", "600"], seconds=0.2, cancelled=never)


def test_a_short_command_ends_when_the_start_is_given_up() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(StackError, match="interrupted"):
        run_tool(["sleep", "600"], seconds=600.0, cancelled=cancelled)
