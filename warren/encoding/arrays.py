"""Archives of arrays as NumPy's ``savez`` writes them, read by somebody who does not trust them.

A few bytes may inflate to a thousand times as many, and a header may say what it likes. So each array is looked at
before there is room for it: what its header promises is what lies behind it, and all together are no more than the
reader knows that there may be.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# Arrays of one archive; a dataset has eight at most.
_MOST_ARRAYS = 64


def read_arrays(blob: bytes, most_bytes: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive by name.

    Parameters
    ----------
    blob : bytes
    most_bytes : int, default=None
        Bytes that they may take together; None is as many as the archive has, so that none may be compressed.

    Raises
    ------
    ValueError
        They take more, one is not what its header says, or holds objects.
    zipfile.BadZipFile, OSError, EOFError
        It is no archive, or a damaged one.
    """
    check_arrays(blob, most_bytes)
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return dict(archive)


def check_arrays(blob: bytes, most_bytes: int | None = None) -> None:
    """Refuse an archive as `read_arrays` does, without making its arrays."""
    most = len(blob) if most_bytes is None else most_bytes
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > _MOST_ARRAYS or total > most:
            raise ValueError(f"{len(blob):,} bytes that inflate to {total:,}, where {most:,} are the most there may be")
        for entry in entries:
            with archive.open(entry) as stream:
                check_array(stream, entry.file_size)


def check_array(stream: IO[bytes], size: int) -> None:
    """Refuse an array in NumPy's own format whose header promises something else than lies behind it.

    Parameters
    ----------
    stream : binary stream
        At its beginning.
    size : int
        Bytes that it has.

    Raises
    ------
    ValueError
        It is no array, holds objects, or is larger or smaller than its header says.
    """
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array in version {version} of NumPy's format")
    shape, _, dtype = _HEADERS[version](stream)
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or promised != size - stream.tell() or (dtype.itemsize == 0 and math.prod(shape) > size):
        raise ValueError(f"an array of shape {shape} and type {dtype} in {size:,} bytes")
