"""Help out of docstrings: prose is filled to the width there is, examples keep their lines."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Literal

import typer

# Boxes and colours are for people: a pipe gets plain text.
MARKUP: Literal["rich"] | None = "rich" if sys.stdout is not None and sys.stdout.isatty() else None
# What tells the plain formatter to leave a paragraph's lines alone; the rich one leaves every line alone.
# https://click.palletsprojects.com/en/stable/documentation/#escaping-lines-in-help-text
_KEEP = "" if MARKUP else "\b\n"


def fill(text: str) -> str:
    """Return a docstring as help: prose on one line a paragraph, for the formatter to break; examples as they are."""
    # Brackets are lists in examples, not the names of styles.
    plain = inspect.cleandoc(text).replace("[", r"\[" if MARKUP else "[")
    paragraphs = plain.split("\n\n")
    return "\n\n".join(
        _KEEP + one if "\n  " in one or one.startswith("  ") else " ".join(one.split("\n")) for one in paragraphs
    )


def add_command(app: typer.Typer, command: Callable[..., Any], panel: str, *, name: str | None = None) -> None:
    """Add a function to the command line; its docstring is its help."""
    app.command(name, help=fill(command.__doc__ or ""), rich_help_panel=panel)(command)
