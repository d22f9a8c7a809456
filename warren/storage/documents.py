"""Documents of the database, and their form as bytes between processes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions

Document = dict[str, Any]

OUTPUT_LINES = 3
"""Last lines of a failed trial's output in an error or a summary; its document has more."""

_UTC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)


def trial_id(study_id: str, number: int) -> str:
    """Return the ``_id`` of a trial document."""
    return f"{study_id}:{number}"


def now() -> datetime:
    """Return the time, UTC, in milliseconds as BSON stores it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def pack(document: Mapping[str, Any]) -> bytes:
    """Return a document as BSON bytes, to be sent between processes."""
    return bson.encode(document)


def unpack(packed: bytes) -> Document:
    """Return the document from the bytes of `pack`."""
    return bson.decode(packed, codec_options=_UTC)


def end_of_output(trial: Mapping[str, Any], lines: int) -> list[str]:
    """Return the last lines that a failed trial's fit printed.

    Parameters
    ----------
    trial : mapping
        With ``output``, if there is any.
    lines : int
        Most lines to return.

    Returns
    -------
    list of str
        The lines.
    """
    output = trial.get("output")
    # A table has NaN for a missing output.
    return [line for line in output.splitlines() if line.strip()][-lines:] if isinstance(output, str) else []
