"""Reads XGBoost's Universal Binary JSON (https://ubjson.org) from untrusted files.

XGBoost's own reader ends the process if a file is truncated or states a wrong length.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

# Type markers of numbers and their formats, for single numbers and arrays; all are big-endian.
_NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_CONSTANTS = {b"T": True, b"F": False, b"Z": None}
_DEEPEST = 32


def read_ubjson(content: bytes) -> Any:
    """Return a document as dicts, lists, text and numbers; typed arrays become NumPy arrays.

    Raises
    ------
    ValueError
        The content is malformed or incomplete.
    """
    reader = _Reader(content)
    try:
        found = reader.value(reader.take(1), 0)
    except (struct.error, UnicodeDecodeError) as exc:
        raise ValueError(f"not Universal Binary JSON: {exc}") from exc
    if reader.place != len(content):
        raise ValueError(f"{len(content) - reader.place:,} bytes after the end of the document")
    return found


class _Reader:
    """Reads values one after the other.

    Parameters
    ----------
    content : bytes
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        found = self._content[self.place : self.place + size]
        if size < 0 or len(found) != size:
            raise ValueError(
                f"needs {size:,} bytes from byte {self.place:,} on, but the document ends at {len(self._content):,}"
            )
        self.place += size
        return found

    def _next_is(self, mark: bytes) -> bool:
        there = self._content[self.place : self.place + 1] == mark
        self.place += there
        return there

    def value(self, mark: bytes, depth: int) -> Any:
        """Return the value after a type marker."""
        if depth > _DEEPEST:
            raise ValueError(f"nested deeper than {_DEEPEST}")
        if mark in _NUMBERS:
            form = _NUMBERS[mark]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        match mark:
            case b"S":
                return self._text()
            case b"{":
                return self._object(depth)
            case b"[":
                return self._array(depth)
        raise ValueError(f"unknown type marker {mark!r} at byte {self.place:,}")

    def _count(self) -> int:
        mark = self.take(1)
        if mark not in (b"i", b"U", b"I", b"l", b"L"):
            raise ValueError(f"type marker {mark!r} instead of a length at byte {self.place:,}")
        return int(self.value(mark, 0))

    def _text(self) -> str:
        return self.take(self._count()).decode()

    def _object(self, depth: int) -> dict[str, Any]:
        found = {}
        while not self._next_is(b"}"):
            name = self._text()
            if name in found:
                raise ValueError(f"repeated key {name!r}: readers could use different values")
            found[name] = self.value(self.take(1), depth + 1)
        return found

    def _array(self, depth: int) -> Any:
        kind = self.take(1) if self._next_is(b"$") else None
        count = self._count() if self._next_is(b"#") else None
        if kind is not None:
            if count is None or kind not in _NUMBERS:
                raise ValueError(f"an array of {kind!r} without a length")
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(count * dtype.itemsize), dtype)
        if count is not None:
            if count > len(self._content):
                raise ValueError(f"{count:,} values in {len(self._content):,} bytes")
            return [self.value(self.take(1), depth + 1) for _ in range(count)]
        found = []
        while not self._next_is(b"]"):
            found.append(self.value(self.take(1), depth + 1))
        return found
