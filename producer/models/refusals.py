"""The errors for stored models that are refused."""

from __future__ import annotations

from warren.errors import StudyError


def forged(what: str, whose: str = "model") -> StudyError:
    """Return the error for a model that no worker stores like this.

    Parameters
    ----------
    what : str
        What is wrong; it follows "the stored model".
    whose : str, default="model"
        The part of the model that is wrong.

    Returns
    -------
    StudyError
    """
    return StudyError(f"the stored {whose} {what}: train it again, or ask who may write to the database")


def leads_out(whose: str = "model") -> StudyError:
    """Return the error for a model whose numbers would make compiled code read outside it."""
    return forged("holds numbers that are out of bounds", whose)


def unreadable(exc: Exception) -> StudyError:
    """Return the error for a file that its library can't read."""
    return StudyError(f"the stored model can't be read: {type(exc).__name__}: {' '.join(str(exc).split())[:200]}")
