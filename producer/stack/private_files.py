"""What a stack keeps from other users of the machine: secrets in its folder, and the folder itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from warren.errors import StackError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret(file: Path, make: Callable[[], str]) -> str:
    """Return what a file holds that its owner alone can read; made where it is missing, and then the same for ever."""
    if not file.exists():
        begun = file.with_suffix(".begun")
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
            output.write(make())
            output.flush()
            os.fsync(output.fileno())
        begun.replace(file)
    close_to_others([file])
    if not (content := file.read_text().strip()):
        raise StackError(f"{file} is empty: put back what it held, or name another data_dir")
    return content


def close_to_others(paths: Iterable[Path]) -> list[Path]:
    """Take from files and folders what others may do with them; return those for which that can't be done."""
    left = []
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)
                mode = path.stat().st_mode
        except OSError:  # another user's
            left.append(path)
        else:
            if mode & _OTHERS:  # a file system that has no permissions
                left.append(path)
    return left
