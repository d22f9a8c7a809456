"""The best score so far over the trials that have ended: kept up with few reads, and drawn small."""

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
# Seconds before the newest result that are read again: a worker writes within one, and clocks differ.
_OVERLAP_SECONDS = 3.0
# Comparing what is seen with what is there takes this part of the time at most.
_COMPARE_SHARE = 0.1
# Before any trial ended.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
# Results read at a look; what is left waits for the next.
_PAGE = 5000
# Dots that a picture shows; of more, each so-manieth.
_DOTS = 400
# The picture, in units of its own; a card is as wide.
_WIDTH, _HEIGHT = 700, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 14, 24
# Part of the trials, the worst, that may lie below the picture: one bad corner of a grid would flatten the rest.
_BELOW = 0.15


@dataclass(frozen=True)
class Point:
    """A trial that has ended: how many had by then, and its score."""

    ended: int
    score: float


class Curve:
    """What is known of a study's scores, in the order in which its trials ended.

    Parameters
    ----------
    trials : callable
        Returns those of the study, at a look: what the study is may have to be read.
    """

    def __init__(self, trials: Callable[[], OwnTrials]) -> None:
        self._trials = trials
        self._forget()

    def _forget(self) -> None:
        self._seen: set[int] = set()
        self._newest: datetime | None = None
        self._may_compare_at = 0.0
        self.points: list[Point] = []

    def look(self, status: Status) -> None:
        """Read what has ended since the last look: everything at the first, and where something was missed.

        Raises
        ------
        StoreError
            The database is unreachable.
        """
        if len(self._seen) > status.done:  # failed trials were taken back
            self._forget()
        if self._newest is None:
            self._add(self._trials().ended_since(_EVER, 0, _FIELDS))
            return
        since = self._newest - timedelta(seconds=_OVERLAP_SECONDS)
        found = self._trials().ended_since(since, _PAGE, _FIELDS)
        self._add(found)
        if len(found) < _PAGE and len(self._seen) < status.done and time.monotonic() >= self._may_compare_at:
            self._compare()
        if status.state == "COMPLETE" and len(self._seen) != status.done:
            # In the order in which they ended, as far as clocks agree.
            self._forget()
            self._add(self._trials().ended_since(_EVER, 0, _FIELDS))

    def _compare(self) -> None:
        """Read what has ended by a clock that is behind another worker's, or was written late."""
        began = time.monotonic()
        missing = self._trials().finished_numbers() - self._seen
        self._add(self._trials().at(missing, _FIELDS))
        ended = time.monotonic()
        self._may_compare_at = ended + (ended - began) / _COMPARE_SHARE

    def _add(self, documents: Iterable[Document]) -> None:
        new = [document for document in documents if document["number"] not in self._seen]
        for document in sorted(new, key=lambda one: (one["finished_at"], one["number"])):
            self._seen.add(document["number"])
            score = document.get("mean_test_score")
            if score is not None and math.isfinite(score) and not document.get("failed_fits"):
                self.points.append(Point(len(self._seen), score))
            self._newest = max(self._newest or document["finished_at"], document["finished_at"])

    def svg(self, metric: str) -> str:
        """Return the picture; empty while there is nothing to draw a line through."""
        points = self.points  # a look by another thread may begin anew
        return draw(points, max(len(self._seen), 1), metric) if len(points) > 1 else ""


def draw(points: Sequence[Point], ended: int, metric: str) -> str:
    """Draw the best so far as a line and trials as dots, in the colour of the text around.

    Parameters
    ----------
    points : sequence of Point
        In order, at least one.
    ended : int
        Trials in all.
    metric : str

    Returns
    -------
    str
        An ``<svg>``.
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
    """Return two to six round numbers between two others."""
    # Twice this at most is a step, so that two of them always have room.
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
