"""What else watches a fit: Keras callbacks of whoever runs it, wherever in an estimator of estimators it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

MakeCallbacks: TypeAlias = Callable[[], Sequence[Any]]
"""Makes the callbacks of one fit, ``keras.callbacks.Callback`` each; Keras is imported when it is called."""

_make: ContextVar[MakeCallbacks | None] = ContextVar("callbacks of fits", default=None)


@contextmanager
def callbacks_of_fits(make: MakeCallbacks) -> Iterator[None]:
    """Give every network that is trained in the block callbacks of its own.

    Parameters
    ----------
    make : callable
        Called once a fit.
    """
    token = _make.set(make)
    try:
        yield
    finally:
        _make.reset(token)


def made_callbacks() -> list[Any]:
    """Return new callbacks for a fit that begins; none outside of `callbacks_of_fits`."""
    make = _make.get()
    return [] if make is None else list(make())
