"""Prints the output of commands: help, tables for people, JSON for programs.

Everything else goes to standard error.

A terminal gets tables that fit its width. A pipe or a file gets plain columns without colours,
boxes or truncated values. Everything is made `printable`, because others wrote much of it.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import typer

from warren.errors import InputError
from warren.printable import json_text, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

# The shell's exit status for a program ended by Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130
# Least width of a table's last column to fold its text; below it, lines exceed the terminal's
# width.
_LAST_WIDTH = 30


# Boxes and colours only for a terminal; a pipe gets plain text.
MARKUP: Literal["rich"] | None = "rich" if sys.stdout is not None and sys.stdout.isatty() else None
# Marks a paragraph whose lines the plain formatter must not join; the rich formatter joins none.
# https://click.palletsprojects.com/en/stable/documentation/#escaping-lines-in-help-text
_KEEP = "" if MARKUP else "\b\n"


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading and alignment."""

    name: str
    justify: Literal["left", "right"] = "left"


def say(text: str = "") -> None:
    """Print one line of the result; line breaks in the text become spaces."""
    typer.echo(_line(text))


def say_lines(text: str) -> None:
    """Print text that already has line breaks."""
    typer.echo(printable(text))


def note(text: str) -> None:
    """Print a line for the user on standard error, so that a pipe gets only results."""
    typer.echo(_line(text), err=True)


def complain(error: Exception) -> None:
    """Print an error; indent its further lines, so that none looks like a separate message."""
    typer.echo("warren: " + re.sub(r"\n(?!  )", "\n  ", printable(str(error))), err=True)


def ask(question: str) -> None:
    """Print a question on standard error; the user types the answer on its line."""
    typer.echo(_line(question), err=True, nl=False)


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")


def terminal() -> Console | None:
    """Return a console if standard output is a terminal, else None."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def heading(text: str) -> None:
    """Print a heading."""
    console = terminal()
    if console is None:
        say(text)
    else:
        console.print(_line(text), style="bold")


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings.

    Parameters
    ----------
    columns : sequence of Column
        The last may hold long text: a terminal folds it unless the column is too narrow; a pipe
        gets it whole.
    rows : sequence of sequences of str
        One value per column.
    """
    rows = [[one_line(value) for value in row] for row in rows]
    columns = [replace(column, name=one_line(column.name)) for column in columns]
    widths = [max(len(value) for value in (column.name, *found)) for column, *found in zip(columns, *rows, strict=True)]
    console = terminal()
    if console is None or console.width - sum(widths[:-1]) - 2 * len(widths) < min(widths[-1], _LAST_WIDTH):
        _plain(columns, rows, widths)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        last = column is columns[-1]
        shown.add_column(Text(column.name), justify=column.justify, overflow="fold", no_wrap=not last)
    for row in rows:
        shown.add_row(*(Text(value) for value in row))
    console.print(shown)


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    for line in ([column.name for column in columns], *rows):
        cells = [
            value.rjust(width) if column.justify == "right" else value.ljust(width)
            for column, width, value in zip(columns, widths, line, strict=True)
        ]
        say("  ".join(cells).rstrip())


def as_json(value: Any) -> Any:
    """Convert a value for JSON: NaN and infinities to null, times to ISO 8601 text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat() if value == value else None  # NaT is not a time
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return as_json(value.tolist())
    if hasattr(value, "get_params"):
        return _show_estimator(value)
    return str(value)


def _show_estimator(estimator: Any) -> str:
    """Return an estimator as in trial documents: ``LGBMClassifier(max_depth=3)``."""
    from warren.encoding.codec import encode, readable

    name = f"{type(estimator).__module__}.{type(estimator).__name__}"
    try:
        return str(readable(encode(estimator, name, [name])))
    except InputError:
        return type(estimator).__name__


def print_json(value: Any) -> None:
    """Print a value as indented JSON; print nothing else on standard output then."""
    typer.echo(json_text(json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)))


def show_params(params: Mapping[str, Any]) -> str:
    """Return parameters on one line: ``learning_rate=0.1 max_depth=3``."""
    return " ".join(f"{name}={value}" for name, value in params.items())


@contextmanager
def on_interrupt(parting: str, *, after_bar: bool = False) -> Iterator[None]:
    """At Ctrl-C, print a message and exit with status 130.

    Parameters
    ----------
    parting : str
        The message, such as how to continue.
    after_bar : bool, default=False
        Whether a progress bar has ended its line; otherwise the terminal's ``^C`` needs a line
        break.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not after_bar and sys.stderr.isatty():
            note("")
        note(parting)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, so that the block can clean up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fill(text: str) -> str:
    """Return a docstring as help text: joins the lines of each paragraph, but not of examples."""
    # Escape brackets: they are lists in examples, not names of styles.
    plain = inspect.cleandoc(text).replace("[", r"\[" if MARKUP else "[")
    paragraphs = plain.split("\n\n")
    return "\n\n".join(
        _KEEP + paragraph if "\n  " in paragraph or paragraph.startswith("  ") else " ".join(paragraph.split("\n"))
        for paragraph in paragraphs
    )


def add_command(
    app: typer.Typer, command: Callable[..., Any], panel: str, *, name: str | None = None, more: str = ""
) -> None:
    """Add a function to the command line; its docstring is its help, with `more` at its end."""
    text = "\n\n".join(filter(None, [inspect.cleandoc(command.__doc__ or ""), more]))
    app.command(name, help=fill(text), rich_help_panel=panel)(command)
