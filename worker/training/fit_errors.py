"""What an error of a fit is in its trial's document, whatever it is and holds."""

from __future__ import annotations

import traceback

# Characters of an error that a table shows, and of a traceback that a failed trial keeps: its end tells, a document
# stays small.
_LINE_CHARS = 500
_TRACEBACK_CHARS = 4000


def plain(text: str) -> str:
    """Return a text that every encoding of Unicode can hold: halves of characters are escaped."""
    return text.encode(errors="backslashreplace").decode()


def line(text: str) -> str:
    """Return a text on one line, of a length that a table shows."""
    # Cut first: a message may hold a whole data set. Spaces are made one, so that more is needed than shown.
    return plain(" ".join(text[: 20 * _LINE_CHARS].split())[:_LINE_CHARS])


def line_of(error: BaseException) -> str:
    """Return what an error is, and says, on one line."""
    try:
        said = str(error)
    except Exception as exc:  # noqa: BLE001 - even that is the estimator's code
        said = f"<its text can't be had: {type(exc).__name__}>"
    return line(f"{type(error).__name__}: {said}")


def end_of(trace: str) -> str:
    """Return the end of a traceback, as a document keeps it."""
    return plain(trace[-_TRACEBACK_CHARS:])


def trace_of(error: BaseException) -> str:
    """Return the end of an error's traceback."""
    return end_of("".join(traceback.format_exception(error)))
