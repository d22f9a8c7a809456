"""Read untrusted Arrow streams: nothing is decompressed, and every column is validated.

pyarrow follows the offsets of a column into its bytes, and allocates the size that a compressed
buffer claims, without a check. The layout of a message is that of
https://github.com/apache/arrow/blob/main/format/Message.fbs.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# Numbers of fields in the schema: of a message, of a dictionary batch, and of a record batch.
_HEADER, _DATA, _COMPRESSION = 2, 1, 3
# Most rows for each byte of the stream: a column of missing values takes no bytes.
_ROWS_A_BYTE = 8


def read_stream(stream: bytes) -> pa.Table:
    """Return the table of a stream.

    Parameters
    ----------
    stream : bytes
        The Arrow stream.

    Returns
    -------
    pyarrow.Table
        Its table.

    Raises
    ------
    ValueError
        A buffer is compressed, a column is invalid, or there are more rows than the bytes can hold.
    pyarrow.ArrowException, OSError
        It is not a stream.
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
    """Return whether a message with rows, or with a dictionary, has compressed buffers."""
    if kind not in ("record batch", "dictionary"):
        return False
    batch = _table(metadata, _field(metadata, _root(metadata), _HEADER))
    if kind == "dictionary":
        batch = _table(metadata, _field(metadata, batch, _DATA))
    return _field(metadata, batch, _COMPRESSION) != 0


def _root(content: bytes) -> int:
    return _table(content, 0)


def _table(content: bytes, place: int) -> int:
    """Return where the table begins to which a place refers."""
    return place + int(struct.unpack_from("<I", content, place)[0])


def _field(content: bytes, table: int, number: int) -> int:
    """Return the place of a table's field; 0 if the table does not have it."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", content, fields + place) if place < size else (0,)
    return table + offset if offset else 0
