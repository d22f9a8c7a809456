"""Why a stored model is not taken."""

from __future__ import annotations

from warren.errors import StudyError


def forged(what: str, whose: str = "model") -> StudyError:
    """Return the error of a model that is not as a worker stores one.

    Parameters
    ----------
    what : str
        What is wrong: what follows on "the stored model".
    whose : str, default="model"
        The part of it that is wrong.
    """
    return StudyError(f"the stored {whose} {what}: train it again, or ask who may write to the database")


def leads_out(whose: str = "model") -> StudyError:
    """Return the error of a model whose numbers would lead compiled code out of it."""
    return forged("holds numbers that lead out of it", whose)


def unreadable(exc: Exception) -> StudyError:
    """Return the error of a file that its library does not read."""
    return StudyError(f"the stored model can't be read: {type(exc).__name__}: {' '.join(str(exc).split())[:200]}")
