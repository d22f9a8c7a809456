"""The metrics of a worker.

Their names follow https://prometheus.io/docs/practices/naming/.

Names end in the unit, seconds or bytes; ``_total`` marks a counter, which starts at 0 with the
process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from warren.libraries.registry import ALLOWED_PACKAGES

# Seconds that a chunk waited in its queue: from a queue that is never empty for long to a study of
# days.
_WAIT_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
# A longer wait, a year, is not credible: the publisher's clock is wrong, or the message is not
# ours.
_LONGEST_WAIT = 366 * 24 * 3600.0

STATES = ("COMPLETE", "FAILED")
OUTCOMES = ("acknowledged", "requeued", "dead_lettered", "dropped")
# Separate, because it is not an outcome of a chunk: a message of another database is returned
# unchanged.
FOREIGN = "foreign"
CAUSES = ("abandoned", "crashed", "timed_out")
SERVERS = ("broker", "database")


def queue_wait(published_at: int | None, now: float) -> float | None:
    """Return how long a message was in its queue.

    Parameters
    ----------
    published_at : int or None
        Its AMQP timestamp: whole seconds since 1970, or None.
    now : float
        Seconds since 1970.

    Returns
    -------
    float or None
        Seconds, at least 0 because the clocks of two machines differ; None if there is no
        timestamp, or it is not credible.
    """
    if published_at is None or abs(waited := now - published_at) > _LONGEST_WAIT:
        return None
    return max(0.0, waited)


class Metrics:
    """All metrics of a worker.

    A process has one object, and every method may be called on any thread.

    Attributes
    ----------
    registry : prometheus_client.CollectorRegistry
        Contains these metrics, and the memory, CPU time and start of the process.
    """

    def __init__(self) -> None:
        # The start of each counter would double the numbers; it is always the start of the process.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it alone has no types
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("warren", "The version of Warren.", registry=self.registry).info({"version": metadata.version("warren")})

        def counter(name: str, text: str, label: str = "", values: Iterable[str] = ()) -> Counter:
            """Create a counter whose usual series start at 0.

            Prometheus does not see an increase from absent to 1.
            """
            made = Counter(name, text, [label] if label else [], registry=self.registry)
            for value in values:
                made.labels(value)
            return made

        self._trials = Counter(
            "warren_trials_total",
            "Trials whose result this worker was the first to write.",
            ["state", "library"],
            registry=self.registry,
        )
        for state in STATES:
            for library in ALLOWED_PACKAGES:
                self._trials.labels(state, library)
        self._fit = counter(
            "warren_fit_seconds_total",
            "Seconds of training in these trials, as in their documents (fit_seconds).",
            "library",
            ALLOWED_PACKAGES,
        )
        self._saved = counter(
            "warren_saved_seconds_total",
            "Further seconds that training these trials separately would have taken (estimated).",
        )
        self._wasted = counter(
            "warren_wasted_seconds_total", "Seconds of training that ended without a result.", "cause", CAUSES
        )
        self._chunks = counter(
            "warren_chunks_total", "Chunks that this worker has finished or returned.", "outcome", (*OUTCOMES, FOREIGN)
        )
        self._redeliveries = counter("warren_redeliveries_total", "Chunks that a worker had received before.")
        self._reconnects = counter("warren_reconnects_total", "Outages of a server that are over.", "server", SERVERS)
        self._queue_wait = Histogram(
            "warren_queue_wait_seconds",
            "Seconds from a chunk's publication to its first arrival at a worker.",
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        )
        self._memory = Gauge(
            "warren_trainer_memory_bytes",
            "Memory that the training process holds (resident set); 0 while there is none.",
            registry=self.registry,
        )
        self._restarts = counter("warren_trainer_restarts_total", "Training processes that replaced another.")
        self._had_trainer = False
        self._waiting = Gauge(
            "warren_results_waiting", "Trials that have ended and are not written yet.", registry=self.registry
        )

        self._chunk_since: float | None = None
        Gauge(
            "warren_chunk_seconds",
            "Seconds since the current chunk arrived; 0 while this worker has none.",
            registry=self.registry,
        ).set_function(self._chunk_seconds)

    def _chunk_seconds(self) -> float:
        since = self._chunk_since
        # Not 0 from the first moment on, even if the clock has not moved.
        return 0.0 if since is None else max(time.monotonic() - since, 1e-3)

    def has_chunk(self, has: bool) -> None:
        """Note whether this worker has a chunk from now on."""
        self._chunk_since = time.monotonic() if has else None

    def chunk_arrived(self, redelivered: bool, waited_seconds: float | None) -> None:
        """Count a chunk that the broker has delivered.

        Parameters
        ----------
        redelivered : bool
            Whether the broker marked it as redelivered.
        waited_seconds : float or None
            From `queue_wait`. Not counted for a redelivered chunk, because another worker had it
            meanwhile.
        """
        if redelivered:
            self._redeliveries.inc()
        elif waited_seconds is not None:
            self._queue_wait.observe(waited_seconds)

    def chunk_ended(self, outcome: str) -> None:
        """Count a chunk that this worker has finished or returned.

        Parameters
        ----------
        outcome : {"acknowledged", "requeued", "dead_lettered", "dropped", "foreign"}
            ``dropped``: acknowledged without training, because its study no longer needs it.
            ``foreign``: returned, because it belongs to another database.
        """
        self._chunks.labels(outcome).inc()

    def trials_ended(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Count trials by their documents, those that were new in the database.

        Parameters
        ----------
        documents : sequence of dict
            The fields of `worker.training.trial_document.trial_document`.
        """
        for document in documents:
            library = str(document.get("library", "unknown"))
            self._trials.labels(document["state"], library).inc()
            self._fit.labels(library).inc(max(0.0, document["fit_seconds"]))
            self._saved.inc(max(0.0, document["saved_seconds"]))  # an estimate: it may be a little below 0

    def wasted(self, seconds: float, cause: str) -> None:
        """Count training that ended without a result.

        Parameters
        ----------
        seconds : float
            How long it took.
        cause : {"abandoned", "crashed", "timed_out"}
            The worker was stopped, the training process ended, or the trial exceeded its time.
        """
        self._wasted.labels(cause).inc(max(0.0, seconds))

    def reconnected(self, server: str) -> None:
        """Count an outage that is over.

        Parameters
        ----------
        server : {"broker", "database"}
            The server that is back.
        """
        self._reconnects.labels(server).inc()

    def trainer_started(self) -> None:
        """Count a training process, if it is not this worker's first."""
        if self._had_trainer:
            self._restarts.inc()
        self._had_trainer = True

    def results_waiting(self, count: int) -> None:
        """Set the number of results that wait to be written."""
        self._waiting.set(count)

    def watch_memory(self, memory_bytes: Callable[[], int | None]) -> None:
        """Register a function that reports the training process's memory.

        Parameters
        ----------
        memory_bytes : callable
            Returns bytes, or None while there is no such process. Called on a thread of the HTTP
            server.
        """
        self._memory.set_function(lambda: memory_bytes() or 0)

    def text(self) -> bytes:
        """Return the page that Prometheus reads (text format 0.0.4)."""
        return generate_latest(self.registry)
