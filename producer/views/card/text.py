"""The card of a study as plain text without colours, so that it fits files and logs."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from producer.formatting import show_score, show_values
from producer.results.study_reader import StudyReader
from producer.views.card.content import failures, figures, headline, remarks, steps, why_without
from producer.views.card.snapshot import Facts
from warren.errors import StoreError, StudyError
from warren.printable import one_line, printable

if TYPE_CHECKING:
    from rich.console import RenderableType


# Width of the card in columns: without a known terminal size, the least, and the most.
_USUAL_WIDTH, _LEAST_WIDTH, _MOST_WIDTH = 80, 40, 100


def text_of(facts: Facts) -> str:
    """Return the card as text."""
    status = facts.status
    return _laid_out(f"{status.name} · {status.state.lower()}", status.id, list(_rows(facts)), facts)


def text_without(study: StudyReader, error: StoreError | StudyError) -> str:
    """Return the card of a study that can't be read, with the error."""
    return _laid_out(f"{study.name} · {why_without(error)}", study.id, [("", str(error))], None)


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the lines of the card as (label, text)."""
    status = facts.status
    yield "", " · ".join([headline(facts), *remarks(facts)])
    yield "", " · ".join(f"{figure.value} {figure.label}" for figure in figures(facts))
    if status.best_score is not None:
        who = " ".join(filter(None, [f"trial {status.best_number}", facts.best_estimator]))
        yield "best", f"{facts.metric} {show_score(status.best_score)} · {who}"
        params = "  ".join(f"{name}={value}" for name, value in show_values(facts.best_params))
        if params:
            yield "", params
    if status.failed:
        title, shown, more = failures(facts)
        yield "failed", title
        for number, why, which in shown:
            yield "", f"{number} {why} ({which})"
        if more:
            yield "", more
    if status.dead:
        yield "dead", status.dead_text
    if status.versions_text:
        yield "versions", status.versions_text
    for position, step in enumerate(steps(facts)):
        yield "" if position else "next", f"{step.code}  {step.purpose}"


def _laid_out(title: str, foot: str, rows: list[tuple[str, str]], facts: Facts | None) -> str:
    from rich import box
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    width = min(max(shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns, _LEAST_WIDTH), _MOST_WIDTH)
    plain = not _writes_unicode()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, line in rows:
        grid.add_row(Text(label), Text(printable(line)))
    parts: list[RenderableType] = [] if facts is None else [Text(_bar(facts, width - 4))]
    panel = Panel(
        Group(*parts, grid),
        title=Text(one_line(title)),
        subtitle=Text(one_line(foot)),
        title_align="left",
        subtitle_align="right",
        box=box.ROUNDED,
        width=width,
    )
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(panel)
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    return text.translate(_ASCII).encode("ascii", "replace").decode() if plain else text


def _bar(facts: Facts, width: int) -> str:
    status = facts.status
    # Rounded down, so that the bar is full only when all trials have ended.
    done = width * (status.complete + status.failed) // max(status.total, 1)
    failed = min(-(-width * status.failed // max(status.total, 1)), done)
    return "█" * (done - failed) + "▒" * failed + "░" * (width - done)


def _writes_unicode() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "█▒░╭─│·–…×".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_ASCII = str.maketrans("█▒░╭╮╰╯─│·–…×", "#x.++++-|,-.x")
