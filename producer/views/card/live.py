"""A card in a notebook cell that refreshes itself while other cells run."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
import weakref
from importlib import import_module
from typing import Any

from producer.results.follower import ENDED
from producer.results.progress_bar import in_notebook
from producer.results.study_reader import StudyReader
from producer.views.card.curve import Curve
from producer.views.card.html import html_of, html_without
from producer.views.card.snapshot import Facts, read
from warren.errors import InputError, StoreError, StudyError
from warren.printable import one_line
from warren.storage.documents import now

logger = logging.getLogger(__name__)

# Seconds that a read may take before the database counts as unreachable.
_LOOK_SECONDS = 5.0
# Seconds that reading the curve may take: the first time it reads every trial that has ended.
_CURVE_SECONDS = 60.0
# Reading takes at most this share of the time: a slow database is asked less often.
_LOOK_SHARE = 0.2
# Least seconds between attempts to reach an unreachable database.
_AWAY_SECONDS = 2.0
# Live cards by (cell, study): a cell that runs again stops its earlier card.
_of_cells: weakref.WeakValueDictionary[tuple[str, str], Live] = weakref.WeakValueDictionary()


class Live:
    """The card of a study and the curve of its best score, refreshed by a thread.

    It stops when the study ends or is deleted, and waits while the database is unreachable. It
    never changes the study.

    Parameters
    ----------
    study : StudyReader
    seconds : float, default=1.0
        Least seconds between two reads of the database.

    Raises
    ------
    InputError
        There is no notebook, or `seconds` is not a positive number.
    """

    def __init__(self, study: StudyReader, seconds: float = 1.0) -> None:
        if not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
            raise InputError(f"seconds={seconds!r}: give a positive number of seconds between refreshes, such as 1.0")
        if not in_notebook():
            raise InputError(
                "study.live() works only in a notebook; in a terminal, study.wait() shows a progress bar and "
                "print(study) the card"
            )
        self._ipython: Any = import_module("IPython.display")
        self._study = study
        self._seconds = float(seconds)
        self._curve = Curve(lambda: study.trials)
        self._facts: Facts | None = None
        self._unreachable_since = ""
        self._store_error = StoreError("")
        self._stopped = threading.Event()
        self._ended = ""
        self._gone: StudyError | None = None
        shell = _shell()
        self._shown_by = shell.execution_count
        self._replace_earlier_card(shell, study.id)
        self._handle = self._ipython.display(self._ipython.HTML(self._look(curve=False)), display_id=True)
        self._thread = threading.Thread(target=self._run, name=f"warren-live-{study.id}", daemon=True)
        # The thread must not update the display while the interpreter shuts down.
        atexit.register(self._stopped.set)
        self._thread.start()

    def _replace_earlier_card(self, shell: Any, study_id: str) -> None:
        """Stop the live card that this cell showed for the study before."""
        parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
        cell = (parent.get("metadata") or {}).get("cellId")
        if cell:
            before = _of_cells.get((cell, study_id))
            if before is not None:
                before._stopped.set()
            _of_cells[cell, study_id] = self

    def __repr__(self) -> str:
        return one_line(f"<Live {self._study.id}: {'refreshing' if self.running else self._ended or 'stopped'}>")

    def _ipython_display_(self) -> None:
        """Show the card in this cell, unless it is already shown here."""
        if _shell().execution_count != self._shown_by:
            self._ipython.display(self._ipython.HTML(self._render()), display_id=self._handle.display_id)

    @property
    def running(self) -> bool:
        """Whether the card still refreshes itself."""
        return self._thread.is_alive() and not self._stopped.is_set()

    def stop(self) -> None:
        """Stop refreshing; the study goes on. Does nothing if the card has already stopped."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * _LOOK_SECONDS)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            pause = 0.0
            while not self._stopped.wait(pause):
                began = time.monotonic()
                shown = self._look()
                pause = max(self._pause(), (time.monotonic() - began) * (1 / _LOOK_SHARE - 1))
                if not self._stopped.is_set():
                    self._handle.update(self._ipython.HTML(shown))
            # Render once more, so that the final state stays on the screen.
            self._ended = self._ended or f"stopped at {_clock()}"
            self._handle.update(self._ipython.HTML(self._render()))
        finally:
            atexit.unregister(self._stopped.set)

    def _pause(self) -> float:
        return max(self._seconds, _AWAY_SECONDS) if self._unreachable_since else self._seconds

    def _look(self, *, curve: bool = True) -> str:
        """Read the study and return the card; the curve is optional, as it may take long."""
        try:
            with self._study.store.within(_LOOK_SECONDS):
                facts = read(self._study)
            if curve:
                with self._study.store.within(_CURVE_SECONDS):
                    self._curve.look(facts.status)
        except StudyError as exc:
            self._gone, self._ended = exc, "deleted"
            self._stopped.set()
        except StoreError as exc:
            self._unreachable_since, self._store_error = self._unreachable_since or _clock(), exc
        else:
            self._facts, self._unreachable_since = facts, ""
            if curve and facts.status.state in ENDED:
                self._ended = facts.status.state.lower()
                self._stopped.set()
        return self._render()

    def _render(self) -> str:
        if self._gone or self._facts is None:
            return html_without(self._study, self._gone or self._store_error)
        curve = self._curve.svg(self._facts.metric)
        return html_of(
            self._facts,
            live=self._state_text(),
            notice=(
                f"The database is out of reach since {self._unreachable_since}: this card shows the state at that "
                "time. Trying again; workers also wait for it, and nothing is lost."
                if self._unreachable_since
                else ""
            ),
            curve=curve,
        )

    def _state_text(self) -> str:
        if not self._ended:
            return f"● live · {_clock()}"
        return "" if self._ended in {"complete", "cancelled"} else self._ended


def _clock() -> str:
    """Return the local time of day."""
    return now().astimezone().strftime("%H:%M:%S")


def _shell() -> Any:
    """Return the notebook's shell."""
    return import_module("IPython").get_ipython()
