"""Start our own programs so that they import installed modules, never those of the working folder.

A ``random.py`` or ``worker.py`` next to a notebook is the user's; it must not replace a module of
the standard library or of ours.
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
        For example ``worker``.
    *arguments : str
        Its command-line arguments.

    Returns
    -------
    list of str
        To be run in the environment of `module_environment`.
    """
    # -P: `-m` would otherwise look for modules in the working folder first.
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for such a command, and for the processes that it starts.

    Parameters
    ----------
    environ : mapping of str to str
        The environment to start from.

    Returns
    -------
    dict of str to str
        The new environment.

    Raises
    ------
    InputError
        A folder in PYTHONPATH has a ``worker.py`` or similar, which the command would run instead
        of ours.
    """
    # An empty entry means the working folder, and usually comes from an unset variable.
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
    """Return whether an interpreter finds these packages from any working folder."""
    # Don't add site-packages to the path: it must not come before the standard library. A clone
    # must be added.
    elsewhere = [folder for folder in sys.path if folder and Path(folder).resolve() != _ROOT]
    found = [PathFinder.find_spec("warren", elsewhere)]
    # An editable installation has its own finder.
    found += [finder.find_spec("warren", None) for finder in sys.meta_path if finder is not PathFinder]
    in_site_packages = _ROOT.name in {"site-packages", "dist-packages"}
    return in_site_packages or any(
        spec is not None and spec.origin is not None and Path(spec.origin).resolve().parents[1] == _ROOT
        for spec in found
    )
