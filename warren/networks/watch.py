"""The watch over fits: observes each training and decides where it is checkpointed.

It applies to the thread that enters the block: a network that another thread trains is not watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from warren.networks.checkpoints import Slot


class Watch:
    """Is called for every network that is trained in a block of `watching`.

    This base class does nothing.

    Attributes
    ----------
    keeps : frozenset of int
        Epochs, counted from 1, after which the network's weights are kept so that they can be
        restored.
    """

    keeps: frozenset[int] = frozenset()

    def imported(self) -> None:
        """Handle that TensorFlow was just imported: very many objects that will stay."""

    def begin(self) -> Slot | None:
        """Return the slot for checkpoints of the training that begins; None for no checkpoints."""
        return None

    def resumed(self, epochs: int, seconds: float) -> None:
        """Handle that so many epochs are not trained again, and how many seconds they had taken."""

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        """Handle the end of an epoch.

        Parameters
        ----------
        history : mapping of str to sequence of float
            Loss and metrics of all epochs so far.
        kept : int
            Epochs in the last checkpoint.
        """

    def wants_to_stop(self) -> bool:
        """Return whether to write a checkpoint now.

        If so, `epoch` will end the training with an exception.
        """
        return False


_watch: ContextVar[Watch | None] = ContextVar("watch over fits", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Call `watch` for every network that is trained in the block."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def current_watch() -> Watch:
    """Return the watch for a training that begins; outside of `watching`, one that does nothing."""
    return _watch.get() or Watch()
