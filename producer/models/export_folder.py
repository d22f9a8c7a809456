"""The folder of an export: written next to its place and then renamed, so it is always complete."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from warren.errors import InputError, WarrenError

MANIFEST = "manifest.json"
"""The file that identifies a folder as an export."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of an export.

    Attributes
    ----------
    folder : Path
        The folder of the export, or of all its versions.
    versioned : bool
        Whether `folder` has a numbered subfolder for each version, as TensorFlow Serving expects.
    overwrite : bool
        Whether to replace an existing export; with versions, the newest.
    """

    folder: Path
    versioned: bool
    overwrite: bool

    def check(self) -> None:
        """Refuse a place that is taken, before anything is trained.

        Raises
        ------
        InputError
            The folder has an export or other files.
        OSError
            The folder can't be read.
        """
        if self.versioned:
            found = self._newest()
            if found and self.overwrite:
                _check_replaced(self.folder / str(found))
        elif _is_taken(self.folder):
            _check_replaced(self.folder)
            if not self.overwrite:
                raise InputError(
                    f"{self.folder}: there is an export already: pass overwrite=True (--overwrite) to replace it, or "
                    "another folder"
                )

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Create an empty folder for writing the export; it is removed at the end unless renamed.

        Use it before the training, so that problems with the place show early.
        """
        # Next to the export, so on the same disk; servers ignore folders among the versions that
        # are not numbers.
        parent = self.folder if self.versioned else self.folder.parent
        staging = parent / f".{self.folder.name}-{uuid.uuid4().hex[:12]}.partial"
        missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
        try:
            # Not by tempfile, whose folders are private: a server runs as another user.
            staging.mkdir(parents=True)
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for made in missing:  # innermost first; a folder with an export is not empty and stays
                with suppress(OSError):
                    made.rmdir()

    def take(self, staging: Path) -> Path:
        """Rename the staging folder to the final place, and return that.

        Raises
        ------
        InputError
            Another export took the place in the meantime.
        OSError
            The folder can't be renamed.
        """
        if self.versioned:
            return self._take_version(staging)
        self.check()
        if not _is_taken(self.folder):
            return staging.rename(self.folder)
        return _exchange(staging, self.folder)

    def _take_version(self, staging: Path) -> Path:
        newest = self._newest()
        if newest and self.overwrite:
            self.check()
            return _exchange(staging, self.folder / str(newest))
        while True:
            newest += 1
            place = self.folder / str(newest)
            try:
                return staging.rename(place)
            except OSError:  # another process has just taken this number
                if not _is_taken(place):
                    raise

    def _newest(self) -> int:
        """Return the highest existing version, or 0."""
        if not self.folder.exists():
            return 0
        names = [entry.name for entry in self.folder.iterdir()]
        return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Convert errors of the file system to an `InputError` that says where, why and what to do.

    Raises
    ------
    InputError
        Instead of any OSError of the file system.
    """
    try:
        yield
    except OSError as exc:
        # Unreachable servers and timeouts are OSErrors, too, with their own messages.
        if isinstance(exc, WarrenError) or exc.errno is None:
            raise
        raise InputError(
            f"{place}: the export can't be written ({exc.strerror or exc}); nothing was changed there. Pass a folder "
            "that you may write to, on a disk with enough free space"
        ) from exc


def _is_taken(folder: Path) -> bool:
    """Return whether a rename could not replace the folder; it can replace an empty one."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _check_replaced(folder: Path) -> None:
    """Refuse to replace anything but an export, so that a mistyped path deletes no other files."""
    if not (folder / MANIFEST).is_file():
        what = "folder with other files" if folder.is_dir() else "file"
        raise InputError(f"{folder}: this is a {what}, not an export: pass a folder that does not exist yet")


def _exchange(staging: Path, place: Path) -> Path:
    """Replace an export by another; between the two renames there is none."""
    old = place.with_name(f".{place.name}-{uuid.uuid4().hex[:12]}.old")
    place.rename(old)
    try:
        staging.rename(place)
    except BaseException:
        old.rename(place)
        raise
    # The new export is in place, so leftovers of the old one are not an error.
    shutil.rmtree(old, ignore_errors=True)
    return place
