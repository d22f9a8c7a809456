"""Documents of the database, and as bytes between processes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions

Document = dict[str, Any]

OUTPUT_LINES = 3
"""Last lines of a failed trial's output that an error or a summary shows; its document has more."""

_UTC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)


def trial_id(study_id: str, number: int) -> str:
    """Return the ``_id`` of a trial document."""
    return f"{study_id}:{number}"


def now() -> datetime:
    """Return the time, UTC, in the milliseconds that BSON keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def pack(document: Mapping[str, Any]) -> bytes:
    """Return a document as BSON bytes, to hand between processes."""
    return bson.encode(document)


def unpack(packed: bytes) -> Document:
    """Return the document that `pack` packed."""
    return bson.decode(packed, codec_options=_UTC)


def end_of_output(trial: Mapping[str, Any], lines: int) -> list[str]:
    """Return the last lines that a failed trial's fit printed.

    Parameters
    ----------
    trial : mapping
        With ``output``, where there is some.
    lines : int
        How many at most.
    """
    output = trial.get("output")
    # A table has NaN where there is none.
    return [line for line in output.splitlines() if line.strip()][-lines:] if isinstance(output, str) else []
