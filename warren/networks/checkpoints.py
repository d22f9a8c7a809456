"""Places of checkpoints: a folder that several workers mount, or a bucket.

A checkpoint is one file: `MAGIC`, the SHA-256 of the rest, and an uncompressed zip archive. It
appears as a whole or not at all (in a folder it is written under another name first; a bucket's put
is atomic), and a damaged one is not used. Nothing in it is unpickled or executed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from warren.errors import InputError
from warren.settings import redact

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

logger = logging.getLogger(__name__)

MAGIC = b"warren checkpoint 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
# Study, trial, fold, and number of the network in the fit. A study's id contains no dot.
_NAME = re.compile(r"(?P<study>[a-z0-9][a-z0-9-]*)\.(?P<trial>\d+)\.(?P<fold>\d+)\.(?P<network>\d+)\.checkpoint")
# The rest of a write that was cut short.
_PART = re.compile(r"\.(?P<name>" + re.sub(r"\?P<\w+>", "?:", _NAME.pattern) + r")\.[0-9a-f]{32}\.part")
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
# Seconds for which an unreachable bucket may delay a training. The library's own default is 15
# minutes.
_BUCKET_SECONDS = 20


def name_of(study_id: str, trial: int, fold: int, network: int) -> str:
    """Return the name of a checkpoint.

    Parameters
    ----------
    study_id : str
        The study.
    trial : int
        Number of the trial.
    fold : int
        Number of the fold.
    network : int
        Number of the network in the fit, from 0.

    Returns
    -------
    str
        The file's name.
    """
    return f"{study_id}.{trial}.{fold}.{network}.checkpoint"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A checkpoint in a place, or the rest of one.

    Attributes
    ----------
    file : str
        Its file name.
    study_id : str
        The study.
    trial : int
        Number of the trial.
    age : timedelta
        Time since it was written.
    is_part : bool
        Whether its write has not ended, or was cut short.
    """

    file: str
    study_id: str
    trial: int
    age: timedelta
    is_part: bool


class Place:
    """A folder or a bucket with checkpoints.

    Parameters
    ----------
    address : str
        The whole path of a folder other than the root, or a URI for
        ``pyarrow.fs.FileSystem.from_uri``: ``gs://bucket/path``, ``s3://bucket/path``,
        ``file:///path``. pyarrow finds credentials in the environment.

    Raises
    ------
    InputError
        The address can't be read, or names an unknown kind of storage.
    OSError
        The folder can't be created.
    """

    def __init__(self, address: str) -> None:
        import pyarrow as pa
        from pyarrow.fs import FileSystem

        self.address = address
        try:
            self._files, base = FileSystem.from_uri(_as_uri(address))
            self._base = base.rstrip("/")
            self._local = self._files.type_name == "local"
            if not self._base:
                raise ValueError("no bucket")
            if self._local:
                self._files.create_dir(self._base, recursive=True)
        except (pa.ArrowException, TypeError, ValueError, RuntimeError):  # the last one for ~ with an unknown user
            # Without the cause, and the text after a question mark: an address may contain a key.
            raise InputError(
                f"WARREN_CHECKPOINTS={redact(address)!r} can't be used: write the whole path of a folder, as "
                "/mnt/checkpoints, or gs://bucket/path or s3://bucket/path"
            ) from None

    def put(self, name: str, content: IO[bytes]) -> None:
        """Write a checkpoint; it replaces an earlier one.

        Raises
        ------
        OSError
            It can't be written; the earlier one stays.
        """
        path = self._path(name)
        if not self._local:
            _copy_to(self._files, path, content)
            return
        part = self._path(f".{name}.{uuid.uuid4().hex}.part")
        try:
            _copy_to(self._files, part, content)
            self._files.move(part, path)
        except BaseException:
            self._remove(part)
            raise

    def get(self, name: str, into: IO[bytes]) -> bool:
        """Copy a checkpoint into a file; return whether there is one.

        Raises
        ------
        OSError
            It can't be read.
        """
        from pyarrow.fs import FileType

        path = self._path(name)
        if self._files.get_file_info(path).type is not FileType.File:
            return False
        with self._files.open_input_stream(path, compression=None) as stream:
            shutil.copyfileobj(stream, into)
        return True

    def delete(self, file: str) -> None:
        """Delete a file of ours; harmless if it does not exist.

        Raises
        ------
        OSError
            It can't be deleted.
        """
        if _ours(file) is None:
            raise ValueError(f"{file!r} is not a checkpoint")
        self._remove(self._path(file))

    def found(self) -> list[Found]:
        """Return our checkpoints in this place; other files are ignored.

        Raises
        ------
        OSError
            It can't be listed.
        """
        from pyarrow.fs import FileSelector, FileType

        now = datetime.now(UTC)
        return [
            Found(
                file=info.base_name,
                study_id=whose[0],
                trial=whose[1],
                age=now - (info.mtime or now),
                is_part=info.base_name.startswith("."),
            )
            for info in self._files.get_file_info(FileSelector(self._base, allow_not_found=True))
            if info.type is FileType.File and (whose := _ours(info.base_name)) is not None
        ]

    def _path(self, file: str) -> str:
        return f"{self._base}/{file}"

    def _remove(self, path: str) -> None:
        try:
            self._files.delete_file(path)
        except FileNotFoundError:
            logger.debug("a checkpoint is gone already", extra={"path": path})


class Slot:
    """The place for the checkpoints of one network's training.

    Parameters
    ----------
    place : Place
        The folder or bucket.
    name : str
        See `name_of`.
    seconds : float
        Least time between two writes; 0 to write after each epoch, however long that takes.
    data : str, default=""
        Digest of its data and estimator: a checkpoint with another digest is not used.
    """

    def __init__(self, place: Place, name: str, seconds: float, data: str = "") -> None:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a name of a checkpoint")
        self.name = name
        self.seconds = seconds
        self.data = data
        self._place = place

    def save(self, files: Iterable[Path]) -> None:
        """Write files together as one checkpoint.

        Raises
        ------
        OSError
            They can't be written; an earlier checkpoint stays.
        """
        with tempfile.TemporaryFile() as packed:
            packed.write(MAGIC + bytes(_DIGEST_BYTES))
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
                for path in files:
                    archive.write(path, path.name)
            digest = _digest(packed)
            packed.seek(len(MAGIC))
            packed.write(digest)
            packed.seek(0)
            self._place.put(self.name, packed)

    def load(self, folder: Path) -> bool:
        """Put the files that `save` wrote into a folder; return whether there are any.

        Raises
        ------
        OSError
            They can't be read.
        ValueError
            The file is damaged, or not a checkpoint.
        """
        with tempfile.TemporaryFile() as packed:
            if not self._place.get(self.name, packed):
                return False
            packed.seek(0)
            head = packed.read(len(MAGIC) + _DIGEST_BYTES)
            if not head.startswith(MAGIC):
                raise ValueError("it is not a checkpoint of this version")
            if head[len(MAGIC) :] != _digest(packed):
                raise ValueError("it is damaged: its SHA-256 differs")
            with zipfile.ZipFile(packed) as archive:
                for member in archive.infolist():
                    if not _MEMBER.fullmatch(member.filename) or member.compress_type != zipfile.ZIP_STORED:
                        raise ValueError(f"it contains {member.filename!r}, which is not ours")
                    with archive.open(member) as source, (folder / member.filename).open("wb") as target:
                        shutil.copyfileobj(source, target)
        return True


def _as_uri(address: str) -> str:
    if "://" not in address:
        folder = Path(os.path.expanduser(address))  # noqa: PTH111 - pathlib's raises without a home
        if not folder.is_absolute():
            raise ValueError("each worker would use a folder relative to its own working folder")
        return str(folder)
    if address.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in address:
        return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds={_BUCKET_SECONDS}"
    return address


def _ours(file: str) -> tuple[str, int] | None:
    """Return the study and the trial of a file of ours, None for any other."""
    part = _PART.fullmatch(file)
    found = _NAME.fullmatch(part["name"] if part else file)
    return (found["study"], int(found["trial"])) if found else None


def _copy_to(files: FileSystem, path: str, content: IO[bytes]) -> None:
    with files.open_output_stream(path, compression=None) as stream:
        shutil.copyfileobj(content, stream)


def _digest(packed: IO[bytes]) -> bytes:
    """Return the SHA-256 of everything after the digest itself."""
    packed.seek(len(MAGIC) + _DIGEST_BYTES)
    return hashlib.file_digest(packed, "sha256").digest()  # type: ignore[arg-type]  # it asks for less than IO has
