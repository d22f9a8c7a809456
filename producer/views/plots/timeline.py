"""The plot of each worker's fits over time, and of lost workers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from producer.formatting import plural, show_span
from producer.views.plots.theme import AMBER, PALETTE, RED, finish, nothing, safe

if TYPE_CHECKING:
    import plotly.graph_objects as go

FIELDS = ("number", "state", "estimator", "worker", "started_at", "finished_at", "attempts", "interrupted")
"""Fields of a trial document that the timeline needs."""

# Most bars that a browser draws well; of more, neighbours are merged.
_MOST_BARS = 3000
# Share of the whole time that others must have worked longer before a worker counts as gone.
_LEFT_SHARE = 0.05
# Most trial numbers in a bar's text.
_NAMED = 8
# Heights in pixels: of a worker's row, around all rows, and the most for a plot.
_ROW, _FRAME, _TALLEST = 24, 190, 1500
_FAILED = "failed"


@dataclass
class _Bar:
    """A bar of one worker: a fit with the trials that share it, or several short fits merged."""

    worker: str
    start: datetime
    end: datetime
    kinds: Counter[str]
    numbers: list[int]
    crashes: int

    @property
    def kind(self) -> str:
        return self.kinds.most_common(1)[0][0]

    @property
    def text(self) -> str:
        named = ", ".join(map(str, self.numbers[:_NAMED])) + (" …" if len(self.numbers) > _NAMED else "")
        lines = [
            f"{'trial' if len(self.numbers) == 1 else plural(len(self.numbers), 'trial') + ':'} {named}",
            ", ".join(f"{number} {kind}" if len(self.kinds) > 1 else kind for kind, number in self.kinds.items()),
            show_span((self.end - self.start).total_seconds()),
        ]
        if self.crashes:
            lines.append(f"{plural(self.crashes, 'earlier try')} crashed the training process")
        return "<br>".join(map(safe, lines))


def timeline(trials: Sequence[Mapping[str, Any]], title: str) -> go.Figure:
    """Draw a row for each worker, and a bar for each fit.

    Parameters
    ----------
    trials : sequence of dict
        Documents with `FIELDS`.
    title : str
    """
    import plotly.graph_objects as go

    bars = _bars(
        trial for trial in trials if trial.get("started_at") and trial.get("finished_at") and trial.get("worker")
    )
    if not bars:
        return nothing(title, "no trial has ended yet")
    begun, ended = min(bar.start for bar in bars), max(bar.end for bar in bars)
    gone = _gone(bars, ended - begun)
    cut = [
        (safe(str(interruption["worker"])), interruption["at"], trial)
        for trial in trials
        for interruption in trial.get("interrupted") or ()
        if interruption.get("worker") and interruption.get("at")
    ]
    rows = sorted({bar.worker for bar in bars} | {worker for worker, _, _ in cut}, key=_natural)
    drawn, note = _thinned(bars, ended - begun)
    figure = go.Figure()
    kinds = [kind for kind, _ in Counter(bar.kind for bar in drawn).most_common() if kind != _FAILED]
    colours = dict(zip(sorted(kinds), PALETTE * (1 + len(kinds) // len(PALETTE)), strict=False)) | {_FAILED: RED}
    for kind, colour in colours.items():
        of_kind = [bar for bar in drawn if bar.kind == kind]
        if of_kind:
            figure.add_trace(
                go.Bar(
                    base=[_local(bar.start) for bar in of_kind],
                    x=[max((bar.end - bar.start) / timedelta(milliseconds=1), 1) for bar in of_kind],
                    y=[bar.worker for bar in of_kind],
                    orientation="h",
                    name=safe(kind),
                    width=0.7,
                    marker={"color": colour, "line": {"width": 0.5 if len(drawn) < 500 else 0, "color": "white"}},
                    customdata=[bar.text for bar in of_kind],
                    hovertemplate="%{customdata}<extra>%{y}</extra>",
                )
            )
    _mark(
        figure,
        "interrupted here, continued later",
        "x",
        AMBER,
        [(at, worker, f"trial {trial['number']} continued on {trial['worker']}") for worker, at, trial in cut],
    )
    _mark(
        figure,
        "last result of a lost worker",
        "line-ns-open",
        "#555555",
        [(bar.end, bar.worker, "no result after this: the worker was stopped, evicted or lost") for bar in gone],
    )
    zone = _local(ended).strftime("%Z") or "local"
    figure.update_xaxes(title=f"time ({zone})", type="date")
    figure.update_yaxes(
        title="worker" if len(rows) > 1 else None,
        categoryorder="array",
        categoryarray=rows[::-1],
        automargin=True,
        tickfont={"size": 11 if len(rows) <= 40 else 8},
    )
    figure.update_layout(barmode="overlay", bargap=0.2, hoverlabel={"align": "left"}, showlegend=True)
    return finish(figure, title, note, height=min(_FRAME + _ROW * max(len(rows), 3), _TALLEST), legend=True)


def _bars(trials: Iterable[Mapping[str, Any]]) -> list[_Bar]:
    """Return a bar for each fit; trials of one worker with the same start time share a fit."""
    return _merged(
        (
            _Bar(
                worker=safe(str(trial["worker"])),
                start=trial["started_at"],
                end=trial["finished_at"],
                kinds=Counter([_FAILED if trial["state"] == "FAILED" else str(trial["estimator"])]),
                numbers=[trial["number"]],
                crashes=(trial.get("attempts") or 1) - 1,
            )
            for trial in sorted(trials, key=lambda one: (one["started_at"], one["number"]))
        ),
        lambda bar: (bar.worker, bar.start),
    )


def _merged(bars: Iterable[_Bar], place: Callable[[_Bar], Hashable]) -> list[_Bar]:
    """Return one bar for each place, combined from the bars there."""
    found: dict[Hashable, _Bar] = {}
    for bar in bars:
        one = found.setdefault(place(bar), bar)
        if one is not bar:
            one.end = max(one.end, bar.end)
            one.kinds += bar.kinds
            one.numbers += bar.numbers
            one.crashes += bar.crashes
    return list(found.values())


def _thinned(bars: Sequence[_Bar], span: timedelta) -> tuple[list[_Bar], str]:
    """Merge neighbouring bars of a worker if there are too many; also return a note about it."""
    if len(bars) <= _MOST_BARS:
        return list(bars), ""
    step = span * len({bar.worker for bar in bars}) / _MOST_BARS
    begun = min(bar.start for bar in bars)
    merged = _merged(bars, lambda bar: (bar.worker, (bar.start - begun) // step))
    shown = show_span(step.total_seconds())
    note = (
        f"{len(bars):,} fits: those that a worker began within {shown} are one bar, in the colour of "
        "the commonest estimator"
    )
    return merged, note


def _gone(bars: Sequence[_Bar], span: timedelta) -> list[_Bar]:
    """Return the last bar of each worker that had no later result while others began new work."""
    last: dict[str, _Bar] = {}
    for bar in bars:
        if bar.worker not in last or bar.end > last[bar.worker].end:
            last[bar.worker] = bar
    latest_start = max(bar.start for bar in bars)
    # There was work for longer than this worker takes for a fit.
    longest: dict[str, timedelta] = {}
    for bar in bars:
        longest[bar.worker] = max(longest.get(bar.worker, timedelta()), bar.end - bar.start)
    return [
        bar for worker, bar in last.items() if latest_start - bar.end > max(span * _LEFT_SHARE, 2 * longest[worker])
    ]


def _mark(figure: go.Figure, name: str, symbol: str, colour: str, marks: Sequence[tuple[datetime, str, str]]) -> None:
    import plotly.graph_objects as go

    if marks:
        figure.add_trace(
            go.Scatter(
                x=[_local(moment) for moment, _, _ in marks],
                y=[worker for _, worker, _ in marks],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "color": colour, "size": 13, "line": {"width": 3, "color": colour}},
                customdata=[safe(text) for _, _, text in marks],
                hovertemplate="%{customdata}<extra>%{y}</extra>",
            )
        )


def _local(moment: datetime) -> datetime:
    """Return a time in the local time zone; plotly has no time zones."""
    return moment.astimezone()


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``node-10`` after ``node-9``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
