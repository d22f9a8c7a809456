"""Reads handwritten digits as images and labels: MNIST's files, or scikit-learn's digits.

The files have the IDX format (http://yann.lecun.com/exdb/mnist/): two zero bytes, one byte for the
type of the numbers, one for the number of dimensions, then the size of each dimension in four
bytes, the most significant first, and then the numbers.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import math
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from warren.errors import InputError
from warren.settings import redact

SHA256: Mapping[str, str] = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Digests of the published files, as TensorFlow Datasets checks them
(``url_checksums/mnist.txt``), and of their content."""

# Bytes: the largest file has ten million, and 47 million when it is unpacked.
_LARGEST_FILE, _LARGEST_CONTENT = 2**26, 2**28
# Seconds without a byte from the server.
_PATIENCE = 60.0
_UNSIGNED_BYTES = 0x08


class Digits(NamedTuple):
    """Images of digits and their labels.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n_samples, height, width), uint8
        0 is the background.
    y_train, y_test : ndarray of shape (n_samples,), int64
        0 to 9.
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def load_mnist(source: str | Path, *, checksums: Mapping[str, str] | None = SHA256) -> Digits:
    """Read MNIST, or a dataset in the same four files, from a folder or a server.

    Parameters
    ----------
    source : str or Path
        A folder, or its address, ``https://...``, with ``train-images-idx3-ubyte``,
        ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each
        packed with the ending ``.gz``, or unpacked.
    checksums : mapping of str to str, default=SHA256
        SHA-256 of each file by its name, with ``.gz`` if it is packed. The default are those of the
        published MNIST, packed and unpacked. None means no check.

    Returns
    -------
    Digits
        60,000 images of 28 x 28 pixels to train on, and 10,000 to test.

    Raises
    ------
    InputError
        A file is missing or damaged, does not match its checksum, or has none.

    Examples
    --------
    >>> digits = load_mnist("data/mnist")  # doctest: +SKIP
    """
    return Digits(*_half(source, "train", checksums), *_half(source, "t10k", checksums))


def load_digits_images() -> Digits:
    """Return scikit-learn's digits: 1,797 images of 8 x 8 pixels; the last fifth is for tests.

    Returns
    -------
    Digits
        Pixels are 0 to 16. No network access is needed. The last fifth has other writers than the
        first ones.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = found.images.astype(np.uint8), found.target.astype(np.int64)
    cut = len(images) * 4 // 5
    return Digits(images[:cut], labels[:cut], images[cut:], labels[cut:])


def _half(
    source: str | Path, part: str, checksums: Mapping[str, str] | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = _read(source, f"{part}-images-idx3-ubyte", 3, checksums)
    labels = _read(source, f"{part}-labels-idx1-ubyte", 1, checksums)
    if len(images) != len(labels):
        raise InputError(
            f"{_shown(source)}: {len(images):,} images and {len(labels):,} labels in the files of {part!r}"
        )
    return images, labels.astype(np.int64)


def _shown(source: str | Path) -> str:
    return redact(source) if isinstance(source, str) and "://" in source else str(source)


def _read(source: str | Path, name: str, dimensions: int, checksums: Mapping[str, str] | None) -> NDArray[np.uint8]:
    for found in (f"{name}.gz", name):
        if (content := _content(source, found)) is not None:
            break
    else:
        raise InputError(f"{_shown(source)} has neither {name}.gz nor {name}")
    digest = hashlib.sha256(content).hexdigest()
    if checksums is not None and checksums.get(found) != digest:
        if found in checksums:
            raise InputError(
                f"{_shown(source)}: {found} is damaged or another file: its SHA-256 is {digest}, and "
                f"{checksums[found]} was expected; checksums= takes those of your own files"
            )
        raise InputError(
            f"{_shown(source)}: no checksum of {found} is known; pass checksums={{{found!r}: {digest!r}, ...}} if you "
            "trust it, or checksums=None to check none"
        )
    where = f"{_shown(source)}: {found}"
    return parse_idx(_unpacked(content, where) if found.endswith(".gz") else content, dimensions, where)


def _content(source: str | Path, name: str) -> bytes | None:
    """Return a file of a folder or a server; None if it does not exist."""
    try:
        if isinstance(source, str) and "://" in source:
            if urllib.parse.urlsplit(source).scheme not in {"http", "https"}:
                raise InputError(
                    f"source={_shown(source)!r}: pass a folder, or an address that begins with https:// or http://"
                )
            address = f"{source.rstrip('/')}/{name}"
            with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:  # noqa: S310 - by HTTP alone
                content: bytes = answer.read(_LARGEST_FILE + 1)
        else:
            with (Path(source) / name).open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except urllib.error.HTTPError as exc:
        if exc.code in {404, 410}:
            return None
        raise InputError(f"{_shown(source)}: {name} can't be had: the server answers {exc.code} {exc.reason}") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise InputError(f"{_shown(source)}: {name} can't be read: {exc}") from exc
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{_shown(source)}: {name} has more than {_LARGEST_FILE:,} bytes: that is no file of MNIST")
    return content


def _unpacked(content: bytes, where: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(_LARGEST_CONTENT + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise InputError(f"{where} is no whole gzip file: {exc}") from exc
    if len(unpacked) > _LARGEST_CONTENT:
        raise InputError(f"{where} has more than {_LARGEST_CONTENT:,} bytes unpacked: that is no file of MNIST")
    return unpacked


def parse_idx(content: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes.

    Parameters
    ----------
    content : bytes
        The file, unpacked.
    dimensions : int
        Number of dimensions that it must have.
    where : str
        Name of the file in errors.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    InputError
        It is not such a file, or is incomplete.
    """
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise InputError(
            f"{where} is no IDX file of unsigned bytes in {dimensions} dimension(s): it begins with "
            f"{content[:4].hex(' ') or 'nothing'}"
        )
    shape = tuple(int(side) for side in np.frombuffer(content, ">u4", dimensions, 4))
    if math.prod(shape) != len(content) - header:
        sides = " x ".join(map(str, shape))
        raise InputError(f"{where} says that it has {sides} bytes, and {len(content) - header:,} follow: it is damaged")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
