"""Arrow streams read by somebody who does not trust them: nothing inflates, and what an array says of itself is so.

pyarrow follows the offsets of a column into its bytes, and makes room for what a compressed buffer says that it holds,
without a look. The layout of a message is that of
https://github.com/apache/arrow/blob/main/format/Message.fbs.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# Fields of a message, of a batch of a dictionary and of one of rows, by their places in the schema.
_HEADER, _DATA, _COMPRESSION = 2, 1, 3
# Rows of a column that takes no bytes, a column of nothing but missing values, for each byte of the stream.
_ROWS_A_BYTE = 8


def read_stream(stream: bytes) -> pa.Table:
    """Return the table of a stream.

    Parameters
    ----------
    stream : bytes

    Raises
    ------
    ValueError
        A buffer is compressed, a column is not what it says, or there are more rows than the bytes can hold.
    pyarrow.ArrowException, OSError
        It is no stream.
    """
    import pyarrow as pa

    messages = pa.ipc.MessageReader.open_stream(stream)
    for message in messages:
        if _is_compressed(message.metadata.to_pybytes(), message.type):
            raise ValueError("an Arrow stream with compressed buffers")
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    if table.num_rows > _ROWS_A_BYTE * len(stream):
        raise ValueError(f"{table.num_rows:,} rows in {len(stream):,} bytes")
    table.validate(full=True)
    return table


def _is_compressed(metadata: bytes, kind: str) -> bool:
    """Say whether a message of rows, or of a dictionary, has compressed buffers."""
    if kind not in ("record batch", "dictionary"):
        return False
    batch = _table(metadata, _field(metadata, _root(metadata), _HEADER))
    if kind == "dictionary":
        batch = _table(metadata, _field(metadata, batch, _DATA))
    return _field(metadata, batch, _COMPRESSION) != 0


def _root(content: bytes) -> int:
    return _table(content, 0)


def _table(content: bytes, place: int) -> int:
    """Return where the table begins that a place refers to."""
    return place + int(struct.unpack_from("<I", content, place)[0])


def _field(content: bytes, table: int, number: int) -> int:
    """Return the place of a field of a table; 0 where it has none."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", content, fields + place) if place < size else (0,)
    return table + offset if offset else 0
