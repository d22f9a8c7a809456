"""Seeds: derived from what is evaluated, never from the moment or the machine."""

from __future__ import annotations

import hashlib


def seed_of(study_id: str, number: int | None = None) -> int:
    """Return the seed of a study, or of one of its trials: the same wherever and however often it is evaluated.

    Parameters
    ----------
    study_id : str
    number : int, default=None
        A trial; None is the study itself.

    Returns
    -------
    int
        Of 32 bits, as NumPy's generators take them.
    """
    text = study_id if number is None else f"{study_id}:{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
