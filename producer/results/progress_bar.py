"""Live progress of a study: a bar in a terminal or a notebook, a few plain lines in a log.

The bar is tqdm's. The pace is counted here, for a study may be followed from its middle on, and what
was done before tells nothing about the workers of now.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Self, TextIO

from producer.formatting import show_rate, show_seconds
from producer.results.status import Status
from warren.printable import one_line

# Seconds that the pace looks back at least; chunks end in bursts that a shorter look would show as jumps.
_PACE_SECONDS = 30.0
# Part of the time followed that the pace looks back: new workers show soon, slow trials still count.
_PACE_SHARE = 0.25
# Seconds between two lines of a log at least, and then a tenth of the time followed: a night gives a
# screenful of lines, not thousands.
_LINE_SECONDS = 10.0
_LINE_SHARE = 0.1
# Per cent of the trials that earn a line before its time has come, and seconds that keep a quick study's
# lines apart all the same.
_LINE_PERCENT = 10
_LINE_APART_SECONDS = 1.0


class Pace:
    """How fast trials end and work is done, counted from the first sight on.

    Parameters
    ----------
    clock : callable, default=time.monotonic
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        # When, trials ended by then, and seconds that workers had spent on them.
        self._seen: deque[tuple[float, int, float]] = deque()

    @property
    def elapsed(self) -> float:
        """Seconds since following began."""
        return self._clock() - self._began

    def see(self, done: int, spent_seconds: float = 0.0) -> None:
        """Take note of how many trials have ended by now, and what workers have spent on them."""
        if self._seen and done < self._seen[-1][1]:  # failed trials were taken back to be tried again
            self._seen.clear()
        if not self._seen or done > self._seen[-1][1]:
            self._seen.append((self._clock(), done, spent_seconds))
        horizon = self._clock() - max(_PACE_SECONDS, _PACE_SHARE * self.elapsed)
        while len(self._seen) > 2 and self._seen[1][0] <= horizon:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Trials a second; 0 while none has ended."""
        return self._per_second(1)

    @property
    def workers(self) -> float:
        """Seconds that workers spend on trials in a second: how many are at work; 0 while no trial has ended."""
        return self._per_second(2)

    def _per_second(self, column: Literal[1, 2]) -> float:
        if len(self._seen) < 2:
            return 0.0
        since = self._seen[0]
        return (self._seen[-1][column] - since[column]) / max(self._clock() - since[0], 1e-3)


def describe(status: Status, pace: Pace) -> str:
    """Say how a study goes, without the counts: pace, time left, best so far, failures, state."""
    parts = []
    if status.state == "RUNNING" and status.done < status.total:
        if pace.rate > 0:
            parts = [show_rate(pace.rate), f"{show_seconds(status.seconds_left(pace.rate, pace.workers))} left"]
        else:
            parts = ["waiting for workers"]
    elif status.state not in {"RUNNING", "COMPLETE"}:
        parts = [status.state.lower()]
    if status.best_score is not None:
        parts.append(f"best {status.best_score:.4f}")
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    return ", ".join(parts)


def in_notebook() -> bool:
    """Say whether a notebook's kernel runs this process: its bar needs no terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class Progress:
    """Shows how a study goes, until the block ends.

    ::

        with Progress(status.total, study.name) as progress:
            while (status := study.status()).state in {"RUNNING", "PAUSED"}:
                progress.update(status)
                time.sleep(0.5)
            progress.update(status)

    Parameters
    ----------
    total : int
        Trials of the study.
    description : str
        What stands before the bar; the study's name.
    stream : text stream, default=None
        Where to write; None is standard error as it is now.
    clock : callable, default=time.monotonic
        Returns seconds.
    """

    def __init__(
        self,
        total: int,
        description: str,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._description = one_line(description)
        self._stream = stream or sys.stderr
        self._pace = Pace(clock)
        self._bar: Any = None
        # The line to come, the one that was written, when, and at how many trials.
        self._line = ""
        self._written = ""
        self._written_at = 0.0
        self._written_done = 0

    def __enter__(self) -> Self:
        if self._stream.isatty() or in_notebook():
            from tqdm import TqdmWarning

            with warnings.catch_warnings():
                # Without ipywidgets a notebook gets a bar of text, and does well with it.
                warnings.simplefilter("ignore", TqdmWarning)
                from tqdm.auto import tqdm

            self._bar = tqdm(
                total=self._total,
                desc=self._description,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line != self._written:
            self._write(self._written_done)

    def update(self, status: Status) -> None:
        """Show a status. Call it as often as you like; a log gets a line only now and then."""
        self._pace.see(status.done, status.spent_seconds)
        text = describe(status, self._pace)
        if self._bar is not None:
            self._bar.n = status.done
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.refresh()
            return
        percent = 100 * status.done // max(status.total, 1)
        self._line = f"{self._description}: {status.done:,}/{status.total:,} trials ({percent}%)"
        self._line += f", {text}" if text else ""
        quiet = self._pace.elapsed - self._written_at
        step = 100 * (status.done - self._written_done) >= _LINE_PERCENT * status.total
        if (
            not self._written
            or quiet >= max(_LINE_SECONDS, _LINE_SHARE * self._pace.elapsed)
            or (step and quiet >= _LINE_APART_SECONDS)
        ):
            self._write(status.done)

    def _write(self, done: int) -> None:
        # Noted before it is printed: Ctrl-C in between must not show a line twice.
        self._written, self._written_at, self._written_done = self._line, self._pace.elapsed, done
        print(self._line, file=self._stream, flush=True)
