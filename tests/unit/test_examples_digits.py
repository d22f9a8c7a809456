"""MNIST from its files, from a folder and from a server, and what is no file of it."""

from __future__ import annotations

import functools
import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import digits as module
import numpy as np
import pytest
from digits import load_digits_images, load_mnist
from numpy.typing import NDArray

from warren.errors import InputError


def idx(array: NDArray[np.uint8]) -> bytes:
    """Write an array as IDX."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder: Path, *, packed: bool = True) -> dict[str, str]:
    """Write the digits as the four files; return their checksums."""
    digits, sums = load_digits_images(), {}
    for part, images, labels in (("train", *digits[:2]), ("t10k", *digits[2:])):
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(array.astype(np.uint8))
            if packed:
                name, content = f"{name}.gz", gzip.compress(content, mtime=0)
            (folder / name).write_bytes(content)
            sums[name] = hashlib.sha256(content).hexdigest()
    return sums


def same(found: module.Digits) -> bool:
    expected = load_digits_images()
    return all(
        np.array_equal(mine, other) and mine.dtype == other.dtype for mine, other in zip(found, expected, strict=True)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("packed", [True, False])
def test_the_four_files_are_read_from_a_folder(tmp_path: Path, packed: bool) -> None:
    sums = write(tmp_path, packed=packed)
    assert same(load_mnist(tmp_path, checksums=sums))
    assert same(load_mnist(str(tmp_path), checksums=None))


@pytest.mark.parametrize("packed", [True, False])
def test_the_four_files_are_read_from_a_server(tmp_path: Path, server: str, packed: bool) -> None:
    (tmp_path / "deep").mkdir()
    sums = write(tmp_path / "deep", packed=packed)
    assert same(load_mnist(f"{server}/deep", checksums=sums))
    assert same(load_mnist(f"{server}/deep/", checksums=sums))
    with pytest.raises(InputError, match=r"has neither train-images-idx3-ubyte.gz nor train-images-idx3-ubyte"):
        load_mnist(server)


def test_the_digits_are_images_in_two_parts() -> None:
    digits = load_digits_images()
    assert digits.X_train.shape == (1437, 8, 8)
    assert digits.X_test.shape == (360, 8, 8)
    assert digits.X_train.dtype == np.uint8
    assert digits.X_train.max() == 16
    assert set(digits.y_train) == set(digits.y_test) == set(range(10))


def test_a_file_that_is_another_is_refused(tmp_path: Path) -> None:
    sums = write(tmp_path)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz is damaged or another file: its SHA-256 is "):
        load_mnist(tmp_path)  # it is not MNIST's
    with pytest.raises(InputError, match=r"no checksum of train-labels-idx1-ubyte.gz is known; pass checksums="):
        load_mnist(tmp_path, checksums={name: one for name, one in sums.items() if "train-labels" not in name})
    assert set(module.SHA256) == {*sums, *(name.removesuffix(".gz") for name in sums)}
    assert all(len(one) == 64 for one in module.SHA256.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00\x0d\x03" + bytes(12), "is no IDX file of unsigned bytes in 3 dimension"),
        (idx(np.zeros(3, np.uint8)), "is no IDX file of unsigned bytes in 3 dimension"),
        (idx(np.zeros((3, 2, 2), np.uint8))[:-1], "says that it has 3 x 2 x 2 bytes, and 11 follow: it is damaged"),
        (idx(np.zeros((3, 2, 2), np.uint8)) + b"\x00", "and 13 follow"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "and 0 follow"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=message):
        load_mnist(tmp_path, checksums=None)


def test_a_file_that_is_not_packed_or_cut_off_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    for content in (path.read_bytes()[:-20], b"hello", path.read_bytes()[:50] + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte.gz is no whole gzip file"):
            load_mnist(tmp_path, checksums=None)


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setattr(module, "_LARGEST_CONTENT", 10_000)
    with pytest.raises(InputError, match="more than 10,000 bytes unpacked"):
        load_mnist(tmp_path, checksums=None)
    monkeypatch.setattr(module, "_LARGEST_FILE", 5_000)
    with pytest.raises(InputError, match="more than 5,000 bytes: that is no file of MNIST"):
        load_mnist(tmp_path, checksums=None)


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(7, np.uint8))))
    with pytest.raises(InputError, match="1,437 images and 7 labels in the files of 'train'"):
        load_mnist(tmp_path, checksums=None)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    for source in (f"file://{tmp_path}", "ftp://127.0.0.1/x"):
        with pytest.raises(InputError, match="pass a folder, or an address that begins with https://"):
            load_mnist(source)
    with pytest.raises(InputError, match="has neither"):
        load_mnist(tmp_path / "nowhere")
    with pytest.raises(
        InputError, match=r"http://someone:\*\*\*@127.0.0.1:1: train-images-idx3-ubyte.gz can't be read"
    ):
        load_mnist("http://someone:secret@127.0.0.1:1")
