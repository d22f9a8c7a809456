"""Text that may be shown: it drives no terminal, turns no line round, and passes for no other line.

Names, values and reasons are written by whoever may write to the database or to the queue. Whatever writes to people
(`WarrenError` itself, the command line, log lines, cards, progress) sends them through here, and data for programs
(JSON, Parquet, `study.results()`'s parameters) stay as they are.
"""

from __future__ import annotations

import re
import unicodedata

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""What colours text in a terminal."""
# All but plain letters, so that a usual text costs one look.
_ODD = re.compile(r"[^\t\n\x20-\x7e]")


def printable(text: str) -> str:
    r"""Return a text with its lines and tabs; what could steer a terminal or turn a line round as escapes: ``\x1b``.

    What is shown is what Unicode calls printable, and spaces of other widths.
    """
    return _ODD.sub(_shown, text.replace("\r\n", "\n"))


def one_line(value: object) -> str:
    """Return a value's text on one line, as `printable` shows it."""
    return printable(" ".join(str(value).split()))


def json_text(text: str) -> str:
    """Return JSON with its value unchanged, and the same letters as escapes of JSON's own."""
    return _ODD.sub(lambda found: found[0] if _shown(found) == found[0] else _unit(found[0]), text)


def _shown(found: re.Match[str]) -> str:
    letter = found[0]
    return letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]


def _unit(letter: str) -> str:
    """Return a letter as JSON escapes it: beyond 16 bits by two surrogates."""
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
