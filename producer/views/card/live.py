"""A card in a notebook's cell that keeps itself fresh while other cells run."""

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

# Seconds that a look may take before the database counts as away.
_LOOK_SECONDS = 5.0
# And the first look at all that has ended, on a slow server.
_CURVE_SECONDS = 60.0
# Looking takes this part of the time at most: a database that is slow to answer is asked less often.
_LOOK_SHARE = 0.2
# Seconds between looks for a database that is away, at least.
_AWAY_SECONDS = 2.0
# Those that run, by the cell that shows them: a cell that is run again takes the place of what it showed.
_of_cells: weakref.WeakValueDictionary[tuple[str, str], Live] = weakref.WeakValueDictionary()


class Live:
    """The card of a study with the best score so far over its trials, kept fresh by a thread of its own.

    It ends by itself with the study, or when that is deleted; a database that goes away is waited for. It never touches
    the study.

    Parameters
    ----------
    study : StudyReader
    seconds : float, default=1.0
        Seconds between two looks at the database, at least.

    Raises
    ------
    InputError
        There is no notebook to show it in, or `seconds` is no time.
    """

    def __init__(self, study: StudyReader, seconds: float = 1.0) -> None:
        if not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
            raise InputError(f"seconds={seconds!r}: give the seconds between two looks, such as 1.0")
        if not in_notebook():
            raise InputError(
                "study.live() needs a notebook's cell to keep fresh; in a terminal, study.wait() shows a bar and "
                "print(study) the card"
            )
        self._ipython: Any = import_module("IPython.display")
        self._study = study
        self._seconds = float(seconds)
        self._curve = Curve(lambda: study.trials)
        self._facts: Facts | None = None
        self._away_since = ""
        self._away = StoreError("")
        self._stopped = threading.Event()
        self._ended = ""
        self._gone: StudyError | None = None
        shell = _shell()
        self._shown_by = shell.execution_count
        self._take_the_place(shell, study.id)
        self._handle = self._ipython.display(self._ipython.HTML(self._look(curve=False)), display_id=True)
        self._thread = threading.Thread(target=self._run, name=f"warren-live-{study.id}", daemon=True)
        # An interpreter that ends must not be shown to by then.
        atexit.register(self._stopped.set)
        self._thread.start()

    def _take_the_place(self, shell: Any, study_id: str) -> None:
        """Stop what this very cell has shown of the study before."""
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
        """Show the card here too, unless this cell shows it already."""
        if _shell().execution_count != self._shown_by:
            self._ipython.display(self._ipython.HTML(self._render()), display_id=self._handle.display_id)

    @property
    def running(self) -> bool:
        """Whether it still keeps itself fresh."""
        return self._thread.is_alive() and not self._stopped.is_set()

    def stop(self) -> None:
        """Stop refreshing; the study goes on. Harmless when it has stopped."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * _LOOK_SECONDS)

    # ---------------------------------------------------------------- the thread's

    def _run(self) -> None:
        try:
            pause = 0.0
            while not self._stopped.wait(pause):
                began = time.monotonic()
                shown = self._look()
                pause = max(self._pause(), (time.monotonic() - began) * (1 / _LOOK_SHARE - 1))
                if not self._stopped.is_set():
                    self._handle.update(self._ipython.HTML(shown))
            # Once more: what stays on the screen says how it ended.
            self._ended = self._ended or f"stopped at {_clock()}"
            self._handle.update(self._ipython.HTML(self._render()))
        finally:
            atexit.unregister(self._stopped.set)

    def _pause(self) -> float:
        return max(self._seconds, _AWAY_SECONDS) if self._away_since else self._seconds

    def _look(self, *, curve: bool = True) -> str:
        """Look at the study, and return what is to be shown; the first time without the curve, which may be long."""
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
            self._away_since, self._away = self._away_since or _clock(), exc
        else:
            self._facts, self._away_since = facts, ""
            if curve and facts.status.state in ENDED:
                self._ended = facts.status.state.lower()
                self._stopped.set()
        return self._render()

    def _render(self) -> str:
        if self._gone or self._facts is None:
            return html_without(self._study, self._gone or self._away)
        curve = self._curve.svg(self._facts.metric)
        return html_of(
            self._facts,
            live=self._sign(),
            notice=(
                f"The database is out of reach since {self._away_since}: this is how it was then. Looking again; "
                "workers wait for it too, and nothing is lost."
                if self._away_since
                else ""
            ),
            curve=curve,
        )

    def _sign(self) -> str:
        if not self._ended:
            return f"● live · {_clock()}"
        return "" if self._ended in {"complete", "cancelled"} else self._ended


def _clock() -> str:
    """Return the time of day, where this runs."""
    return now().astimezone().strftime("%H:%M:%S")


def _shell() -> Any:
    """Return the notebook's shell."""
    return import_module("IPython").get_ipython()
