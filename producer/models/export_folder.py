"""Where an export goes: it is written beside its place and renamed, so that nobody ever sees half of one."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from warren.errors import InputError, WarrenError

MANIFEST = "manifest.json"
"""File that makes a folder an export."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an export goes.

    Attributes
    ----------
    folder : Path
        The export itself; of versions, the folder that holds them.
    versioned : bool
        Whether exports lie in `folder` under numbers, as TensorFlow Serving wants them.
    overwrite : bool
        Whether an export that is there may be replaced; of versions, the newest.
    """

    folder: Path
    versioned: bool
    overwrite: bool

    def check(self) -> None:
        """Refuse a place that is taken, before anything is trained.

        Raises
        ------
        InputError
            There is an export already, or something else.
        OSError
            It can't be looked at.
        """
        if self.versioned:
            found = self._newest()
            if found and self.overwrite:
                _check_replaced(self.folder / str(found))
        elif _is_taken(self.folder):
            _check_replaced(self.folder)
            if not self.overwrite:
                raise InputError(
                    f"{self.folder}: there is an export already, and none is overwritten unless you say so: "
                    "overwrite=True (--overwrite), or another folder"
                )

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Make an empty folder to write the export to; whatever is left of it goes with the block.

        It is made before anything is trained: what is wrong with the place is said at once.
        """
        # In the folder of versions servers pass over what is no number; elsewhere beside the export, on the same disk.
        parent = self.folder if self.versioned else self.folder.parent
        staging = parent / f".{self.folder.name}-{uuid.uuid4().hex[:12]}.partial"
        missing = [one for one in (parent, *parent.parents) if not one.exists()]
        try:
            # Not tempfile's, which nobody else may read: a server runs as another user.
            staging.mkdir(parents=True)
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for made in missing:  # innermost first; those that hold an export stay
                with suppress(OSError):
                    made.rmdir()

    def take(self, staging: Path) -> Path:
        """Rename what was staged to its place, and return that.

        Raises
        ------
        InputError
            Somebody else was there in the meantime.
        OSError
            It can't be renamed.
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
            except OSError:  # somebody else has just exported to this number
                if not _is_taken(place):
                    raise

    def _newest(self) -> int:
        """Return the highest version that is there, 0 if there is none."""
        if not self.folder.exists():
            return 0
        names = [one.name for one in self.folder.iterdir()]
        return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the file system's errors into one that says where, why and what to do.

    Raises
    ------
    InputError
        Instead of any OSError of the system's.
    """
    try:
        yield
    except OSError as exc:
        # A server that is away, or a training that takes longer than somebody waits: those say it themselves.
        if isinstance(exc, WarrenError) or exc.errno is None:
            raise
        raise InputError(
            f"{place}: the export can't be written ({exc.strerror or exc}); nothing was changed there. Name a folder "
            "that you may write to, on a disk with room for the model"
        ) from exc


def _is_taken(folder: Path) -> bool:
    """Say whether something is there that a rename would not replace; an empty folder it would."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _check_replaced(folder: Path) -> None:
    """Refuse to take anything but an export for one: nobody's files are lost to a mistyped path."""
    if not (folder / MANIFEST).is_file():
        what = "folder with other files" if folder.is_dir() else "file"
        raise InputError(f"{folder}: this is a {what}, and no export: name a folder that is not there yet")


def _exchange(staging: Path, place: Path) -> Path:
    """Put an export in the place of another; between two renames there is none."""
    old = place.with_name(f".{place.name}-{uuid.uuid4().hex[:12]}.old")
    place.rename(old)
    try:
        staging.rename(place)
    except BaseException:
        old.rename(place)
        raise
    # The new one stands: that something of the old one can't be removed is no failure of the export.
    shutil.rmtree(old, ignore_errors=True)
    return place
