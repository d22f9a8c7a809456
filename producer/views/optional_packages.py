"""Checks that optional packages are installed."""

from __future__ import annotations

from importlib.util import find_spec

from warren.errors import InputError


def require(purpose: str, *packages: str) -> None:
    """Raise `InputError` unless all these packages are installed.

    Parameters
    ----------
    purpose : str
        What needs them, for the error message.
    *packages : str
        Names for ``pip install``; the modules have the same names, with underscores.
    """
    missing = [package for package in packages if find_spec(package.replace("-", "_")) is None]
    if missing:
        raise InputError(f"{purpose} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
