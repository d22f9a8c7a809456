"""Checkpoints as files: whole or not at all, never another's, and nothing else is touched."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from warren.errors import InputError
from warren.networks.checkpoints import MAGIC, Place, Slot, name_of

NAME = name_of("a-study", 3, 1, 0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "all" / "checkpoints"))


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Return two files of a checkpoint."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "weights.h5").write_bytes(b"weights" * 1000)
    (folder / "state.json").write_text("{}")
    return sorted(folder.iterdir())


def loaded(slot: Slot, folder: Path) -> dict[str, bytes] | None:
    folder.mkdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()} if slot.load(folder) else None


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_was_saved_last_is_loaded(scheme: str, parts: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    slot = Slot(Place(f"{scheme}{folder}"), NAME, 30)
    assert loaded(slot, tmp_path / "first") is None
    slot.save(parts)
    parts[0].write_text('{"epoch": 2}')
    slot.save(parts)
    assert loaded(slot, tmp_path / "second") == {path.name: path.read_bytes() for path in parts}
    assert [path.name for path in folder.iterdir()] == [NAME] == ["a-study.3.1.0.checkpoint"]


def test_a_folder_may_have_spaces_and_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Place("~/some where/checkpoints").put(NAME, io.BytesIO(b"content"))
    assert (tmp_path / "some where" / "checkpoints" / NAME).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ftp://host/path", "ftp://host/path"),
        ("s3://", "s3://"),
        ("file:///", "file:///"),
        ("/", "/"),
        ("some/where", "some/where"),
        ("gs:/bucket/path", "gs:/bucket/path"),
        ("~no-such-user/path", "~no-such-user/path"),
        ("s3://key:secret@bucket/path?no_such_option=secret", "s3://key:***@bucket/path"),
    ],
)
def test_an_address_that_means_nothing_is_refused_without_its_secret(address: str, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        Place(address)
    assert str(caught.value).startswith(f"WARREN_CHECKPOINTS={shown!r} can't be used: write the whole path of a folder")
    assert caught.value.__cause__ is None


def test_a_bucket_is_asked_late_and_delays_nothing_for_long() -> None:
    def patience(place: Place) -> timedelta:
        limit: timedelta = place._files.__reduce__()[1][0]["retry_time_limit"]
        return limit

    place, impatient = Place("gs://anonymous@bucket/some/path"), Place("gs://anonymous@bucket?retry_limit_seconds=5")
    assert place._path(NAME) == f"bucket/some/path/{NAME}"
    assert (patience(place), patience(impatient)) == (timedelta(seconds=20), timedelta(seconds=5))


def test_a_bucket_is_written_and_read_as_a_folder_is(parts: list[Path], tmp_path: Path) -> None:
    place = Place("mock:///bucket")  # pyarrow's own, in memory
    place._files.create_dir("bucket")
    slot = Slot(place, NAME, 30)
    slot.save(parts)
    slot.save(parts)
    assert loaded(slot, tmp_path / "to") == {path.name: path.read_bytes() for path in parts}
    assert [one.file for one in place.found()] == [NAME]
    place.delete(NAME)
    assert loaded(slot, tmp_path / "again") is None


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda content: content[:-9], "damaged"),
        (lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:], "damaged"),
        (lambda content: content + b"more", "damaged"),
        (lambda _: b"", "not a checkpoint"),
        (lambda _: b"hello", "not a checkpoint"),
        (lambda _: MAGIC, "damaged"),
    ],
)
def test_what_is_damaged_is_not_loaded(
    harm: Any, message: str, place: Place, parts: list[Path], tmp_path: Path
) -> None:
    slot = Slot(place, NAME, 30)
    slot.save(parts)
    path = Path(place.address) / NAME
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        loaded(slot, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("member", ["../escaped", "/tmp/escaped", "a/b", "packed"])
def test_a_checkpoint_of_a_strangers_making_writes_nowhere_else(member: str, place: Place, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED if member == "packed" else zipfile.ZIP_STORED) as file:
        file.writestr(member, b"content")
    content = archive.getvalue()
    (Path(place.address) / NAME).write_bytes(MAGIC + hashlib.sha256(content).digest() + content)
    with pytest.raises(ValueError, match="which is not ours"):
        loaded(Slot(place, NAME, 30), tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_a_failed_write_leaves_the_earlier_checkpoint_only(place: Place, parts: list[Path]) -> None:
    class Breaks(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise OSError("no space")

    Slot(place, NAME, 30).save(parts)
    before = (Path(place.address) / NAME).read_bytes()
    with pytest.raises(OSError, match="no space"):
        place.put(NAME, Breaks())
    assert [path.name for path in Path(place.address).iterdir()] == [NAME]
    assert (Path(place.address) / NAME).read_bytes() == before


def test_only_what_is_ours_is_found_and_deleted(place: Place, parts: list[Path]) -> None:
    Slot(place, NAME, 30).save(parts)
    folder = Path(place.address)
    half = f".{NAME}.{'0' * 32}.part"
    theirs = ["notes.txt", "model.checkpoint", "A.1.1.1.checkpoint", f"{NAME}.bak", f"{NAME}.part", f"x/{NAME}"]
    for name in [half, *theirs]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    os.utime(folder / half, (0, 0))
    found = {one.file: one for one in place.found()}
    assert found.keys() == {NAME, half}
    assert (found[NAME].study_id, found[NAME].trial, found[NAME].is_part) == ("a-study", 3, False)
    assert (found[half].study_id, found[half].trial, found[half].is_part) == ("a-study", 3, True)
    assert found[NAME].age < timedelta(minutes=1) < timedelta(days=365) < found[half].age
    for name in theirs:
        with pytest.raises(ValueError, match="is not a checkpoint"):
            place.delete(name)
    place.delete(NAME)
    place.delete(half)
    place.delete(NAME)
    assert place.found() == []
    assert all((folder / name).exists() for name in theirs)


def test_a_folder_that_is_gone_holds_nothing(place: Place) -> None:
    Path(place.address).rmdir()
    assert place.found() == []
    with pytest.raises(OSError, match="No such file"):
        place.put(NAME, io.BytesIO(b"content"))


@pytest.mark.parametrize("name", ["../a.1.1.1", "a.1.1", "a.b.1.1.1", "A.1.1.1"])
def test_a_slot_has_a_name_of_ours(name: str, place: Place) -> None:
    with pytest.raises(ValueError, match="not a name of a checkpoint"):
        Slot(place, f"{name}.checkpoint", 30)
