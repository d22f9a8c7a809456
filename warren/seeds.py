"""Seeds: derived from study and trial, independent of time and machine."""

from __future__ import annotations

import hashlib


def seed_of(study_id: str, number: int | None = None) -> int:
    """Return the seed of a study or trial: the same on every machine and in every attempt.

    Parameters
    ----------
    study_id : str
        The study.
    number : int, default=None
        A trial; None for the study itself.

    Returns
    -------
    int
        32 bits, as NumPy's generators accept.
    """
    text = study_id if number is None else f"{study_id}:{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
