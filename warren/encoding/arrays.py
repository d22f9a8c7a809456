"""Read untrusted archives of arrays, in the format of NumPy's ``savez``.

A few bytes may decompress to a thousand times as many, and a header may claim anything. So each
array is checked before memory is allocated for it: its size must match its header, and all arrays
together must not exceed a limit that the reader knows.
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
# Arrays in one archive; a dataset has eight at most.
_MOST_ARRAYS = 64


def read_arrays(blob: bytes, most_bytes: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive by name.

    Parameters
    ----------
    blob : bytes
        The archive.
    most_bytes : int, default=None
        Bytes that all arrays may take together; None for the size of the archive, so that it can't
        be compressed.

    Returns
    -------
    dict of str to ndarray
        The arrays.

    Raises
    ------
    ValueError
        The arrays take more, one does not match its header, or one contains objects.
    zipfile.BadZipFile, OSError, EOFError
        It is not an archive, or a damaged one.
    """
    check_arrays(blob, most_bytes)
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return dict(archive)


def check_arrays(blob: bytes, most_bytes: int | None = None) -> None:
    """Refuse an archive as `read_arrays` does, without creating its arrays."""
    most = len(blob) if most_bytes is None else most_bytes
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > _MOST_ARRAYS or total > most:
            raise ValueError(f"{len(blob):,} bytes that decompress to {total:,}, where {most:,} are the most allowed")
        for entry in entries:
            with archive.open(entry) as stream:
                check_array(stream, entry.file_size)


def check_array(stream: IO[bytes], size: int) -> None:
    """Refuse an array in NumPy's own format whose header does not match its content.

    Parameters
    ----------
    stream : binary stream
        At its beginning.
    size : int
        Its length in bytes.

    Raises
    ------
    ValueError
        It is not an array, contains objects, or is larger or smaller than its header says.
    """
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array in version {version} of NumPy's format")
    shape, _, dtype = _HEADERS[version](stream)
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or promised != size - stream.tell() or (dtype.itemsize == 0 and math.prod(shape) > size):
        raise ValueError(f"an array of shape {shape} and type {dtype} in {size:,} bytes")
