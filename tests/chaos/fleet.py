"""Worker processes that are struck and replaced."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Fleet:
    """Worker processes, each replaced when it is gone."""

    folder: Path
    size: int
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    def fill(self) -> None:
        """Start what is missing."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < self.size:
            name = f"worker-{self.started}"
            self.started += 1
            with (self.folder / f"{name}.log").open("wb") as log:
                self.workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "worker"],
                        env={**os.environ, "WARREN_WORKER_NAME": name},
                        stdout=log,
                        stderr=log,
                    )
                )

    def strike(self, chance: random.Random, strokes: Sequence[str]) -> str:
        """Kill or evict somebody; say what."""
        victim = chance.choice(self.workers)
        what = chance.choice(strokes)
        if what == "training process killed":
            with suppress(psutil.NoSuchProcess, ValueError):  # no process trains, or it has just ended
                [keeper] = psutil.Process(victim.pid).children()
                min(keeper.children(), key=psutil.Process.create_time).kill()
                return what
            return "no process trained"
        victim.send_signal(signal.SIGKILL if what == "worker killed" else signal.SIGTERM)
        return what

    def end(self) -> None:
        """Kill everybody."""
        for worker in self.workers:
            worker.kill()
            worker.wait(10)
