"""Turn an error of a fit into text, even if the error itself misbehaves."""

from __future__ import annotations

import traceback

# Characters of an error that a table shows, and of a traceback that a failed trial keeps: its end
# is the most useful, and the document stays small.
_LINE_CHARS = 500
_TRACEBACK_CHARS = 4000


def plain(text: str) -> str:
    """Return a text that every Unicode encoding can hold: lone surrogates are escaped."""
    return text.encode(errors="backslashreplace").decode()


def line(text: str) -> str:
    """Return a text on one line, short enough for a table."""
    # Cut first, because a message may hold a whole data set. Spaces are merged, so take more than
    # is shown.
    return plain(" ".join(text[: 20 * _LINE_CHARS].split())[:_LINE_CHARS])


def line_of(error: BaseException) -> str:
    """Return an error's type and message, on one line."""
    try:
        message = str(error)
    except Exception as exc:  # noqa: BLE001 - ``__str__`` may be the estimator's code
        message = f"<its text can't be had: {type(exc).__name__}>"
    return line(f"{type(error).__name__}: {message}")


def end_of(trace: str) -> str:
    """Return the end of a traceback, as long as a document keeps it."""
    return plain(trace[-_TRACEBACK_CHARS:])


def trace_of(error: BaseException) -> str:
    """Return the end of an error's traceback."""
    return end_of("".join(traceback.format_exception(error)))
