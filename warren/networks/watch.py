"""What else watches a fit, and where it is checkpointed: by whoever runs it, wherever in an estimator of estimators.

It holds for the thread that enters the block: a network that is trained in another thread is not watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from warren.networks.checkpoints import Slot


class Watch:
    """Is told of every network that is trained in a block of `watching`. This one does nothing: derive from it.

    Attributes
    ----------
    keeps : frozenset of int
        Epochs, counted from 1, after which the network's weights are kept: it can be taken back to them.
    """

    keeps: frozenset[int] = frozenset()

    def imported(self) -> None:
        """Be told that a fit has just imported TensorFlow: hundreds of thousands of objects that will stay."""

    def begin(self) -> Slot | None:
        """Return where the training that begins is to be checkpointed; None is nowhere."""
        return None

    def resumed(self, epochs: int, seconds: float) -> None:
        """Be told that so many epochs are not trained again, which took so many seconds when they were."""

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        """Be told that an epoch has ended.

        Parameters
        ----------
        history : mapping of str to sequence of float
            Loss and metrics of all epochs so far.
        kept : int
            Epochs that the last checkpoint holds.
        """

    def wants_to_stop(self) -> bool:
        """Say whether a checkpoint shall be written now, for `epoch` will end the training by an exception."""
        return False


_watch: ContextVar[Watch | None] = ContextVar("watch over fits", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Let `watch` be told of every network that is trained in the block."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def watch_in_force() -> Watch:
    """Return who is to be told of a training that begins; outside of `watching` one that does nothing."""
    return _watch.get() or Watch()
