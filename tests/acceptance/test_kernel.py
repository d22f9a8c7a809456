"""A real notebook's kernel: its cells are not blocked, its bar is a widget, and an interrupt ends
the waiting alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import faulty
import pytest
from acceptance.conftest import SUPPORT, StartWorker
from jupyter_client.manager import KernelManager
from polling import until

from warren.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import numpy as np, threading, time
from faulty import Sleeps
from polling import until

from producer import Study, submit
X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
study = submit(Sleeps(seconds={seconds}), {{"number": range({trials})}}, X, Y, cv=2, n_chunks={trials})
print(study.id)
"""
THREADS = "print(sum(one.name.startswith('warren-live') for one in threading.enumerate()))"


class Kernel:
    """A kernel and what it says; `shown` has the last of what each display shows."""

    def __init__(self, folder: Path) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(folder))
        self.client: Any = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.shown: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.errors: list[str] = []
        self.widgets: list[str] = []

    def run(self, code: str, seconds: float = 60.0) -> str:
        """Run a cell to its end; return what it printed."""
        self.send(code)
        return self.end(seconds)

    def send(self, code: str) -> None:
        self.said, self.errors = [], []
        self._sent = self.client.execute(code)

    def end(self, seconds: float = 60.0) -> str:
        """Wait for the end of the cell that was sent."""
        deadline = time.monotonic() + seconds
        while not self.hear():
            assert time.monotonic() < deadline, f"the cell has not ended: {self.said} {self.errors}"
        return "".join(self.said)

    def hear(self) -> bool:
        """Take a message; say whether it is the end of the cell that was sent last."""
        try:
            message = self.client.get_iopub_msg(timeout=0.2)
        except Empty:
            return False
        content = message["content"]
        kind = message["msg_type"]
        if kind == "stream":
            self.said.append(content["text"])
        elif kind == "error":
            self.errors.append("\n".join(content["traceback"]))
        elif kind in {"display_data", "update_display_data"}:
            name = content["transient"].get("display_id", "")
            self.shown.setdefault(name, []).append(content["data"].get("text/html", ""))
            if "application/vnd.jupyter.widget-view+json" in content["data"]:
                self.widgets.append(name)
        ended = kind == "status" and content["execution_state"] == "idle"
        return ended and message["parent_header"].get("msg_id") == self._sent

    def hear_until(self, condition: Any, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not heard in time"
            self.hear()

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=False)


@pytest.fixture
def kernel(servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setenv("WARREN_ALLOW", faulty.ALLOW)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{SUPPORT}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    opened = Kernel(tmp_path)
    yield opened
    opened.close()


def test_live_cards_do_not_block_the_kernel_and_leave_no_thread(kernel: Kernel, start_worker: StartWorker) -> None:
    start_worker()
    kernel.run(BEGIN.format(seconds=0.2, trials=12))
    began = time.monotonic()
    kernel.run("first = study.live(0.1)\nfirst")
    kernel.run("second = study.live(0.1)")
    assert kernel.run("print(6 * 7)") == "42\n"
    assert time.monotonic() - began < 10
    assert len(kernel.shown) == 2, "a card a cell, also where its name is the cell's last line"
    first, second = kernel.shown.values()
    kernel.hear_until(lambda: "● live" in second[-1] and "svg" in second[-1])
    kernel.run("second.stop()")
    assert "stopped at" in second[-1]
    kernel.hear_until(lambda: "12 of 12" in first[-1] and "w-complete" in first[-1] and "● live" not in first[-1])
    assert kernel.run("first._thread.join(5)\n" + THREADS) == "0\n"


def test_a_kernel_with_a_live_card_ends_at_once(kernel: Kernel) -> None:
    kernel.run(BEGIN.format(seconds=5, trials=2))
    kernel.run("live = study.live(0.1)")
    kernel.send("exit")
    until(lambda: not kernel._manager.is_alive(), 5, "the kernel has ended")


@pytest.mark.slow
def test_an_interrupt_ends_the_waiting_and_says_how_to_come_back(kernel: Kernel, start_worker: StartWorker) -> None:
    start_worker()
    # Next to it a warning, before or behind.
    [study_id] = re.findall(r"^sleeps-\w+$", kernel.run(BEGIN.format(seconds=0.5, trials=6)), re.MULTILINE)
    kernel.send("study.wait()")
    kernel.hear_until(lambda: kernel.widgets, 30)
    kernel.interrupt()
    kernel.end(10)
    assert "KeyboardInterrupt" in kernel.errors[0]
    last = kernel.errors[0].rstrip().splitlines()[-1]
    assert f"Study.attach('{study_id}').wait() waits again" in last
    kernel.run(f"Study.attach('{study_id}').wait()")
    assert not kernel.errors
    assert kernel.run("print(study.status().state, study.status().complete)") == "COMPLETE 6\n"


@pytest.mark.slow
def test_a_notebook_without_widgets_has_a_bar_of_text_and_no_warning(kernel: Kernel, start_worker: StartWorker) -> None:
    start_worker()
    kernel.run("import sys; sys.modules['ipywidgets'] = None")
    kernel.run(BEGIN.format(seconds=0.1, trials=4))
    said = kernel.run("study.wait()")
    assert "4/4" in said
    assert "Warning" not in said
    assert not kernel.widgets
