"""The curve of the best score over the ended trials: reads new results and draws an SVG."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from producer.formatting import show_score
from producer.templating import render
from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials

if TYPE_CHECKING:
    from producer.results.status import Status

_FIELDS = ("number", "finished_at", "mean_test_score", "failed_fits")
# Seconds before the newest result that are read again: a worker writes within one, and clocks
# differ.
_OVERLAP_SECONDS = 3.0
# Comparing the known trial numbers with the stored ones takes at most this share of the time.
_COMPARE_SHARE = 0.1
# Earlier than any result.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
# Most results read at once; the next read gets the rest.
_PAGE = 5000
# Most dots drawn; of more trials, every n-th is drawn.
_DOTS = 400
# Size of the SVG in its own units; the page scales it to the card's width.
_WIDTH, _HEIGHT = 700, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 14, 24
# Share of the worst trials that may fall below the plot: a few very bad scores would flatten the
# rest.
_BELOW = 0.15


@dataclass(frozen=True)
class Point:
    """The score of a trial, and how many trials had ended by then."""

    ended: int
    score: float


class Curve:
    """A study's scores in the order in which its trials ended.

    Parameters
    ----------
    trials : callable
        Returns the study's `OwnTrials`. Called at each read, because it may query the database.
    """

    def __init__(self, trials: Callable[[], OwnTrials]) -> None:
        self._trials = trials
        self._forget()

    def _forget(self) -> None:
        self._known: set[int] = set()
        self._newest: datetime | None = None
        self._may_compare_at = 0.0
        self.points: list[Point] = []

    def look(self, status: Status) -> None:
        """Read the trials that ended since the last read: all of them the first time.

        Raises
        ------
        StoreError
            The database is unreachable.
        """
        if len(self._known) > status.done:  # failed trials were reset to be tried again
            self._forget()
        if self._newest is None:
            self._add(self._trials().ended_since(_EVER, 0, _FIELDS))
            return
        since = self._newest - timedelta(seconds=_OVERLAP_SECONDS)
        found = self._trials().ended_since(since, _PAGE, _FIELDS)
        self._add(found)
        if len(found) < _PAGE and len(self._known) < status.done and time.monotonic() >= self._may_compare_at:
            self._compare()
        if status.state == "COMPLETE" and len(self._known) != status.done:
            # Read all again, to sort them by end time.
            self._forget()
            self._add(self._trials().ended_since(_EVER, 0, _FIELDS))

    def _compare(self) -> None:
        """Read results that were written late, or by a worker whose clock is behind."""
        began = time.monotonic()
        missing = self._trials().finished_numbers() - self._known
        self._add(self._trials().at(missing, _FIELDS))
        ended = time.monotonic()
        self._may_compare_at = ended + (ended - began) / _COMPARE_SHARE

    def _add(self, documents: Iterable[Document]) -> None:
        new = [document for document in documents if document["number"] not in self._known]
        for document in sorted(new, key=lambda document: (document["finished_at"], document["number"])):
            self._known.add(document["number"])
            score = document.get("mean_test_score")
            if score is not None and math.isfinite(score) and not document.get("failed_fits"):
                self.points.append(Point(len(self._known), score))
            self._newest = max(self._newest or document["finished_at"], document["finished_at"])

    def svg(self, metric: str) -> str:
        """Return the curve as SVG; empty with fewer than two points."""
        points = self.points  # another thread may replace the list
        return draw(points, max(len(self._known), 1), metric) if len(points) > 1 else ""


def draw(points: Sequence[Point], ended: int, metric: str) -> str:
    """Draw the best score so far as a line and the trials as dots, in the colour of the text.

    Parameters
    ----------
    points : sequence of Point
        In the order in which the trials ended, at least one.
    ended : int
        Number of trials that have ended.
    metric : str
        Its name, for the title.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    scores = sorted(point.score for point in points)
    high = scores[-1]
    low = min(scores[int(_BELOW * len(scores))], points[0].score if len(points) < 3 else high)
    if low == high:
        low, high = low - abs(low) * 0.01 - 1e-9, high + abs(high) * 0.01 + 1e-9
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin

    def x(number: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * number / max(ended, 1)

    def y(score: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - max(score, low)) / (high - low)

    step = -(-len(points) // _DOTS)
    dots = [(x(point.ended), y(point.score)) for point in points[::step] if point.score >= low]
    best, line = -math.inf, []
    for point in points:
        if point.score > best:
            line.append(f"{'M' if best == -math.inf else 'H'}{x(point.ended):.1f}")
            line.append(f"{' ' if best == -math.inf else 'V'}{y(point.score):.1f}")
            best = point.score
    line.append(f"H{x(ended):.1f}")
    ticks = _ticks(low, high)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return render(
        "curve.svg",
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        floor=_HEIGHT - _BOTTOM,
        title=f"best {metric} so far: {show_score(best)} after {ended:,} trials",
        ticks=[(y(tick), f"{tick:.{digits}f}") for tick in ticks],
        dots=dots,
        line="".join(line),
        ended=f"{ended:,}",
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between `low` and `high`."""
    # A step is at most twice this, so at least two ticks fit.
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
