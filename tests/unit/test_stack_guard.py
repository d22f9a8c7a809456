"""The guard: nothing that it started outlives the process that asked for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from polling import until

from producer.stack import guard
from producer.stack.process import Guarded
from warren.errors import StackError
from warren.processes import descendants

# A command that has a child, a grandchild in a session of its own, and an orphan: all must go.
FAMILY = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
open(sys.argv[1], "w").close()
time.sleep(600)
"""

# A parent that starts a guarded command and waits to be killed.
PARENT = """
import os, sys, time
from pathlib import Path
from producer.stack.process import Guarded
guarded = Guarded([sys.executable, "-c", sys.argv[1], sys.argv[2]], log=Path(sys.argv[3]), grace=0.5)
if sys.argv[4] == "forked" and os.fork() == 0:
    time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""


def is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(processes: list[psutil.Process]) -> bool:
    return not any(map(is_there, processes))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a guard adopt orphans")
@pytest.mark.parametrize("how", ["alone", "forked"])
def test_a_killed_parent_leaves_nothing_of_the_command(tmp_path: Path, how: str) -> None:
    ready = tmp_path / "ready"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, FAMILY, str(ready), str(tmp_path / "log"), how], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"up\n"
        until(ready.exists, what="the command is up")
        below = psutil.Process(parent.pid).children(recursive=True)
        # A forked copy holds the pipe's end too, as a notebook's own worker processes may.
        beside_guard = (process for process in below if process.ppid() == parent.pid)
        copies = [process for process in beside_guard if "guard.py" not in str(process.cmdline())]
        family = [process for process in below if process not in copies]
        assert len(family) == 5  # guard, command, child, grandchild, orphan
        parent.kill()
        parent.wait()
        try:
            until(lambda: gone(family), what="the family is gone")
        finally:
            for copy in copies:
                copy.kill()
        assert len(copies) == (how == "forked")


def test_stop_gives_the_command_its_grace_to_end_in_good_order(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"trap 'echo told > {told}; exit 3' TERM; echo ready; while true; do sleep 0.05; done"
    guarded = Guarded(["/bin/sh", "-c", script], log=tmp_path / "log", grace=30.0)
    until(lambda: guarded.tail() == "ready", what="the trap is set")
    assert guarded.running
    guarded.stop()
    assert told.read_text() == "told\n"
    assert (guarded.running, guarded.exit_code) == (False, 3)


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    guarded = Guarded(
        ["/bin/sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.05; done"],
        log=tmp_path / "log",
        grace=0.3,
    )
    until(lambda: guarded.tail() == "ready", what="the trap is set")
    command = psutil.Process(guarded.pid)
    guarded.stop()
    assert guarded.exit_code == 128 + signal.SIGKILL
    assert gone([command])


def test_only_the_command_itself_gets_the_sigterm(tmp_path: Path) -> None:
    """A worker decides what becomes of its training process."""
    told = tmp_path / "told"
    child = f"trap 'echo told > {told}' TERM; echo ready; while true; do sleep 0.05; done"
    guarded = Guarded(
        ["/bin/sh", "-c", 'trap "exit 0" TERM; /bin/sh -c "$0" & wait', child], log=tmp_path / "log", grace=10.0
    )
    until(lambda: guarded.tail() == "ready", what="the child is up")
    guarded.stop()
    assert guarded.exit_code == 0
    assert not told.exists()


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 128 + signal.SIGKILL)])
def test_the_command_s_exit_code_is_the_guard_s(tmp_path: Path, script: str, code: int) -> None:
    guarded = Guarded(["/bin/sh", "-c", script], log=tmp_path / "log", grace=1.0)
    until(lambda: not guarded.running, what="the command ended")
    assert guarded.exit_code == code
    guarded.stop()


def test_a_command_that_is_not_there_is_a_stack_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"/no/such/program can't be started: .*No such file"):
        Guarded(["/no/such/program"], log=tmp_path / "log", grace=1.0)


def test_the_side_command_ends_after_the_command_and_before_the_last(tmp_path: Path) -> None:
    pids, last = tmp_path / "pids", tmp_path / "last"
    guarded = Guarded(
        ["/bin/sh", "-c", "echo ready; exec sleep 600"],
        log=tmp_path / "log",
        grace=5.0,
        beside=["sleep", "600"],
        last=["/bin/sh", "-c", f"for pid in $(cat {pids}); do kill -0 $pid && echo $pid; done > {last}"],
    )
    until(lambda: guarded.tail() == "ready", what="the command is up")
    parent = psutil.Process(guarded.pid).parent()
    assert parent is not None
    children = parent.children()
    assert len(children) == 2
    pids.write_text(" ".join(str(child.pid) for child in children))
    guarded.stop()
    assert gone(children)
    assert last.read_text() == ""


def test_the_folder_stays_locked_while_the_guard_runs(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    guarded = Guarded(["sleep", "600"], log=tmp_path / "log", grace=0.0, hold=hold)
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    take = [sys.executable, "-c", script, str(hold)]
    assert b"BlockingIOError" in subprocess.run(take, capture_output=True, check=False).stderr
    guarded.stop()
    subprocess.run(take, check=True)


def test_a_guard_that_is_killed_itself_takes_the_command_along(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    guarded = Guarded(["sleep", "600"], log=tmp_path / "log", grace=1.0)
    command = psutil.Process(guarded.pid)
    parent = command.parent()
    assert parent is not None
    parent.kill()
    until(lambda: gone([command]), what="the command is gone")
    guarded.stop()


def test_ctrl_c_in_the_terminal_does_not_reach_the_command(tmp_path: Path) -> None:
    guarded = Guarded(["sleep", "600"], log=tmp_path / "log", grace=0.0)
    ours = {os.getpgrp(), os.getsid(0)}
    assert os.getpgid(guarded.pid) not in ours
    assert os.getsid(guarded.pid) not in ours
    guarded.stop()


def test_descendants_are_found_at_any_depth() -> None:
    script = "sleep 600 & sleep 600 & echo ready; wait"
    with subprocess.Popen(["/bin/sh", "-c", f"/bin/sh -c '{script}' & wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        below = {process.pid for process in psutil.Process(shell.pid).children(recursive=True)}
        assert descendants(shell.pid) == below
        assert len(below) == 3
        for pid in below:
            with suppress(ProcessLookupError):  # a shell ends with the last one that it waits for
                os.kill(pid, signal.SIGKILL)


def test_the_options_are_read_up_to_the_command() -> None:
    options = guard.Options(["--grace", "2.5", "--beside", json.dumps(["a", "b"]), "--", "run", "--", "-x"])
    assert (options.grace, options.beside, options.command) == (2.5, ["a", "b"], ["run", "--", "-x"])
    assert (options.hold, options.pid_fd, options.last) == (None, None, [])
