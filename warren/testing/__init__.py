"""Doubles of the servers and a worker in process, for tests of code that uses Warren.

::

    from warren import submit
    from warren.testing import in_process_worker

    def test_my_search():
        with in_process_worker():
            study = submit(LogisticRegression(), {"C": [0.1, 1.0]}, X, y, cv=3).wait()
        assert study.best_score_ > 0.9

Nothing is started and nothing listens: broker, database and training run in threads of the test's
process and end with the block. The doubles pass the same test cases as real servers
(``tests/contract``). They can't show a training process that dies, hangs or needs too much memory,
a broken network, or two machines.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from warren.testing.broker import StubBroker
from warren.testing.database import InMemoryStore

if TYPE_CHECKING:
    from warren.settings import Settings

__all__ = ["InMemoryStore", "StubBroker", "in_process_worker"]


def in_process_worker(**settings: Any) -> "AbstractContextManager[Settings]":
    """Run broker, database and worker in this process inside a ``with`` block.

    Inside the block, ``AMQP_URL`` and ``MONGO_URL`` name doubles that are empty at first;
    everything submitted there is gone afterwards.

    Parameters
    ----------
    **settings : object
        Fields of `warren.settings.Settings` for the worker, such as ``max_attempts=1``; others come
        from the environment, with one thread. ``WARREN_ALLOW`` is for both sides: set it in the
        environment.

    Returns
    -------
    context manager
        Yields the worker's settings; a `Store` can be opened with its ``mongo_url``.
    """
    import importlib

    context: AbstractContextManager[Settings] = importlib.import_module("worker.testing").in_process_worker(**settings)
    return context
