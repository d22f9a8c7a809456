"""How a program of ours is started: it imports from where it is installed, never from the folder that it works in.

A ``random.py`` or ``worker.py`` beside a notebook is the user's, and no module of the standard library or of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from warren.errors import InputError

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("warren", "producer", "worker")


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter.

    Parameters
    ----------
    module : str
        ``worker``, for one.
    *arguments : str
        What it is given.

    Returns
    -------
    list of str
        For an environment as `module_environment` returns it.
    """
    # -P: no module comes from the working folder, which `-m` looks into first.
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of such a command, and of all that it starts itself, pools of processes among it.

    Parameters
    ----------
    environ : mapping of str to str
        The environment to begin with.

    Returns
    -------
    dict of str to str

    Raises
    ------
    InputError
        A folder of PYTHONPATH has a ``worker.py`` or the like, which such a command would run in the place of ours.
    """
    # An empty entry stands for the working folder, and is mostly what an unset variable has left.
    folders = [folder for folder in environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if _is_installed():
        _check_not_hidden(folders)
    else:
        folders = [str(_ROOT), *folders]
    return {
        **environ,
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(folders),
    }


def _check_not_hidden(folders: Sequence[str]) -> None:
    for name in _PACKAGES:
        found = PathFinder.find_spec(name, folders)
        if found is not None and found.origin is not None and _ROOT not in Path(found.origin).resolve().parents:
            raise InputError(
                f"{found.origin} hides Warren's package {name!r}: rename it, or take its folder out of PYTHONPATH"
            )


def _is_installed() -> bool:
    """Say whether an interpreter finds these very packages wherever it starts."""
    # site-packages must not come before the standard library, and a clone in which somebody works must not either.
    elsewhere = [folder for folder in sys.path if folder and Path(folder).resolve() != _ROOT]
    found = [PathFinder.find_spec("warren", elsewhere)]
    # An installation in place has a finder of its own.
    found += [finder.find_spec("warren", None) for finder in sys.meta_path if finder is not PathFinder]
    in_site_packages = _ROOT.name in {"site-packages", "dist-packages"}
    return in_site_packages or any(
        spec is not None and spec.origin is not None and Path(spec.origin).resolve().parents[1] == _ROOT
        for spec in found
    )
