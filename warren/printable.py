"""Text that is safe to show: it can't control a terminal, reverse a line, or imitate another line.

Anyone who may write to the database or the queue writes names, values and reasons. All output for
people (`WarrenError` itself, the command line, log lines, cards, progress) goes through this
module; data for programs (JSON, Parquet, the parameters in `study.results()`) is not changed.
"""

from __future__ import annotations

import re
import unicodedata

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""What colours text in a terminal."""
# Any other than plain characters, so that ordinary text needs only one search.
_ODD = re.compile(r"[^\t\n\x20-\x7e]")


def printable(text: str) -> str:
    r"""Return a text with ``\x1b`` and the like for characters that steer terminals or turn lines.

    Lines and tabs are kept, and so are characters that Unicode calls printable, and spaces of other
    widths.
    """
    return _ODD.sub(_shown, text.replace("\r\n", "\n"))


def one_line(value: object) -> str:
    """Return a value's text on one line, as by `printable`."""
    return printable(" ".join(str(value).split()))


def json_text(text: str) -> str:
    """Return JSON with the same value, in which the same characters are JSON's own escapes."""
    return _ODD.sub(lambda found: found[0] if _shown(found) == found[0] else _unit(found[0]), text)


def _shown(found: re.Match[str]) -> str:
    letter = found[0]
    return letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]


def _unit(letter: str) -> str:
    """Return a character as JSON escapes it: beyond 16 bits as two surrogates."""
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
