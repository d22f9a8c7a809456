"""What the blobs promise, on a real server."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import pytest
from contract.documents import DIGEST, writes

from warren.errors import StudyError
from warren.storage.documents import Document
from warren.storage.store import Store


def files(store: Store) -> list[Document]:
    return list(store.datasets._files.find({}))


@pytest.mark.parametrize("size", [0, 5, 4 * 1024**2, 10_000_001], ids=lambda size: f"{size} bytes")
def test_a_blob_comes_back_whole(store: Store, size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert not store.datasets.has(DIGEST)
    assert store.datasets.put(DIGEST, writes(content), {"kind": "dataset"}) is True
    assert store.datasets.has(DIGEST)
    assert store.datasets.get(DIGEST) == content
    parts = [store.datasets.get(DIGEST, start, 3_000_000) for start in range(0, size + 1, 3_000_000)]
    assert b"".join(parts) == content, "and in parts, of which the last is the end"
    assert store.datasets.get(DIGEST, size, 3_000_000) == b""


def test_a_blob_is_stored_once_by_its_digest(store: Store) -> None:
    store.datasets.put(DIGEST, writes(b"content"), {"kind": "dataset", "shape": [2, 3]})

    def never(stream: IO[bytes]) -> None:
        raise AssertionError("it is there already")

    assert store.datasets.put(DIGEST, never, {"kind": "other"}) is False
    [file] = files(store)
    assert (file["filename"], file["length"], file["metadata"]) == (DIGEST, 7, {"kind": "dataset", "shape": [2, 3]})


def test_blobs_of_other_digests_do_not_meet(store: Store) -> None:
    store.datasets.put("a" * 64, writes(b"a"), {})
    store.datasets.put("b" * 64, writes(b"b"), {})
    assert (store.datasets.get("a" * 64), store.datasets.get("b" * 64)) == (b"a", b"b")


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_uploads_of_one_content_at_once_leave_one_blob(store: Store, first_to_end: int) -> None:
    begun = [threading.Event(), threading.Event()]
    ended = threading.Event()

    def upload(which: int) -> bool:
        def write(stream: IO[bytes]) -> None:
            begun[which].set()
            assert begun[1 - which].wait(20)
            if which != first_to_end:
                assert ended.wait(20)
            stream.write(b"content")

        try:
            return store.datasets.put(DIGEST, write, {"upload": which})
        finally:
            ended.set()

    with ThreadPoolExecutor(2) as pool:
        second_begins_after = pool.submit(upload, 0)
        assert begun[0].wait(20)
        first, second = second_begins_after, pool.submit(upload, 1)
        assert (first.result(30), second.result(30)) == (True, True)
    assert [file["metadata"]["upload"] for file in files(store)] == [first_to_end]
    assert store.datasets.get(DIGEST) == b"content"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_upload_cut_short_stands_in_nobody_s_way(store: Store, interruption: type[BaseException]) -> None:
    def cut_short(stream: IO[bytes]) -> None:
        stream.write(b"x" * 9_000_000)
        raise interruption("in the middle")

    with pytest.raises(interruption, match="in the middle"):
        store.datasets.put(DIGEST, cut_short, {})
    assert not store.datasets.has(DIGEST)
    with pytest.raises(StudyError):
        store.datasets.get(DIGEST)
    assert store.datasets.put(DIGEST, writes(b"whole"), {}) is True
    assert store.datasets.get(DIGEST) == b"whole"


def test_a_blob_without_its_last_piece_is_stored_again(store: Store) -> None:
    content = b"x" * 9_000_000
    store.datasets.put(DIGEST, writes(content), {})
    store.datasets._pieces.delete_one({"n": 2})
    assert not store.datasets.has(DIGEST)
    with pytest.raises(StudyError, match="is not whole in bucket 'datasets'"):
        store.datasets.get(DIGEST)
    assert store.datasets.put(DIGEST, writes(content), {}) is True
    assert store.datasets.get(DIGEST) == content
    assert (len(files(store)), pieces(store)) == (1, 3)


def test_a_blob_that_is_missing_is_named(store: Store) -> None:
    with pytest.raises(StudyError, match="blob d{12} is not in bucket 'datasets': was the study's data"):
        store.datasets.get(DIGEST)


# ---------------------------------------------------------------------------- deleting


def pieces(store: Store) -> int:
    return int(store.datasets._pieces.count_documents({}))


def answers(*given: bool) -> Callable[[], bool]:
    """Whether a blob is needed, question by question."""
    left = list(given)
    return lambda: left.pop(0)


def test_a_blob_that_nobody_needs_goes_with_all_its_pieces(store: Store) -> None:
    store.datasets.put("a" * 64, writes(b"a" * 9_000_000), {})
    store.datasets.put("b" * 64, writes(b"b"), {})
    assert store.datasets.delete("a" * 64, answers(False, False)) is True
    assert not store.datasets.has("a" * 64)
    with pytest.raises(StudyError, match="is not in bucket"):
        store.datasets.get("a" * 64)
    assert store.datasets.get("b" * 64) == b"b"
    assert (len(files(store)), pieces(store)) == (1, 1)
    assert store.datasets.delete("a" * 64, answers(False, False)) is True, "harmless where it is not there"


@pytest.mark.parametrize("given", [(True,), (False, True)])
def test_a_blob_that_is_needed_stays(store: Store, given: tuple[bool, ...]) -> None:
    store.datasets.put(DIGEST, writes(b"content"), {"kind": "dataset"})
    [before] = files(store)
    assert store.datasets.delete(DIGEST, answers(*given)) is False
    assert files(store) == [before]
    assert store.datasets.get(DIGEST) == b"content"


@pytest.mark.parametrize("needed", [False, True])
def test_a_blob_that_is_stored_again_while_it_is_deleted_is_there(store: Store, needed: bool) -> None:
    store.datasets.put(DIGEST, writes(b"content"), {})
    asked: list[bool] = []

    def stored_again() -> bool:
        asked.append(True)
        if len(asked) == 1:
            return False
        assert not store.datasets.has(DIGEST), "the next that looks for it stores it"
        assert store.datasets.put(DIGEST, writes(b"content"), {}) is True
        return needed

    assert store.datasets.delete(DIGEST, stored_again) is False
    assert store.datasets.get(DIGEST) == b"content"
    assert (len(files(store)), pieces(store)) == (1, 1)


@pytest.mark.parametrize("pieces_left", [True, False])
@pytest.mark.parametrize("healed_by", ["put", "delete"])
def test_a_deletion_cut_short_stands_in_nobody_s_way(
    store: Store, monkeypatch: pytest.MonkeyPatch, pieces_left: bool, healed_by: str
) -> None:
    store.datasets.put(DIGEST, writes(b"x" * 9_000_000), {})

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.datasets, "_remove", dies)
        with pytest.raises(KeyboardInterrupt):
            store.datasets.delete(DIGEST, answers(False, False))
    assert store.datasets.get(DIGEST) == b"x" * 9_000_000, "one that knows its digest reads it until it is gone"
    if not pieces_left:
        store.datasets._pieces.delete_many({})
    assert not store.datasets.has(DIGEST)
    if healed_by == "put":
        assert store.datasets.put(DIGEST, writes(b"x" * 9_000_000), {}) is True
        assert store.datasets.get(DIGEST) == b"x" * 9_000_000
        assert (len(files(store)), pieces(store)) == (1, 3)
    else:
        assert store.datasets.delete(DIGEST, answers(False, False)) is True
        assert (files(store), pieces(store)) == ([], 0)
