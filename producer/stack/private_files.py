"""Keeps a stack's secrets and folders from other users of the machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from warren.errors import StackError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret(file: Path, make: Callable[[], str]) -> str:
    """Return the content of a secret file that only its owner can read; create it if missing."""
    if not file.exists():
        begun = file.with_suffix(".begun")
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
            output.write(make())
            output.flush()
            os.fsync(output.fileno())
        begun.replace(file)
    close_to_others([file])
    if not (content := file.read_text().strip()):
        raise StackError(f"{file} is empty: restore its content, or pass another data_dir")
    return content


def close_to_others(paths: Iterable[Path]) -> list[Path]:
    """Remove other users' access to files and folders; return those for which that failed."""
    left = []
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)
                mode = path.stat().st_mode
        except OSError:  # owned by another user
            left.append(path)
        else:
            if mode & _OTHERS:  # a file system without permissions
                left.append(path)
    return left
