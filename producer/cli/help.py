"""Help out of docstrings: examples keep their lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer


def keep_examples(text: str) -> str:
    """Mark the paragraphs with indented lines, so that help does not fill them up like prose.

    The mark is click's: a line with a backspace, https://click.palletsprojects.com/en/stable/documentation/.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join("\b\n" + one if "\n  " in one or one.startswith("  ") else one for one in paragraphs)


def add_command(app: typer.Typer, command: Callable[..., Any], panel: str, *, name: str | None = None) -> None:
    """Add a function to the command line; its docstring is its help."""
    app.command(name, help=keep_examples(command.__doc__ or ""), rich_help_panel=panel)(command)
