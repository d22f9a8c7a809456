"""What a worker counts, in the words of Prometheus (https://prometheus.io/docs/practices/naming/).

Seconds and bytes are units, and in the names; ``_total`` is a counter, which begins at 0 with the process.
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

# Seconds that a chunk lay in its queue: a queue that is never empty for long up to a study of days.
_WAIT_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
# Seconds in the queue that nobody believes, a year: the publisher's clock is wrong, or the message is none of ours.
_LONGEST_WAIT = 366 * 24 * 3600.0

STATES = ("COMPLETE", "FAILED")
OUTCOMES = ("acknowledged", "requeued", "dead_lettered", "dropped")
# Beside them, for it is no outcome of a chunk: what belongs to another database is given back as it came.
FOREIGN = "foreign"
CAUSES = ("abandoned", "crashed", "timed_out")
SERVERS = ("broker", "database")


def queue_wait(published_at: int | None, now: float) -> float | None:
    """Return how long a message was in its queue.

    Parameters
    ----------
    published_at : int or None
        Its AMQP timestamp: whole seconds since 1970, or nothing.
    now : float
        Seconds since 1970.

    Returns
    -------
    float or None
        Seconds, 0 at least, for two machines' clocks differ; None where the message does not say, or can't be believed.
    """
    if published_at is None or abs(waited := now - published_at) > _LONGEST_WAIT:
        return None
    return max(0.0, waited)


class Metrics:
    """Everything that a worker counts; one of them in a process, and every method may be called on any thread.

    Attributes
    ----------
    registry : prometheus_client.CollectorRegistry
        Its own, with the memory, CPU time and start of the process beside our numbers.
    """

    def __init__(self) -> None:
        # When each counter began would be a second page of numbers, and is the process's start for all.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it alone has no types
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("warren", "The version of Warren.", registry=self.registry).info({"version": metadata.version("warren")})

        def counter(name: str, text: str, label: str = "", values: Iterable[str] = ()) -> Counter:
            """Make a counter whose usual series begin at 0: Prometheus does not see an increase from nothing to 1."""
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
            "Seconds of training in these trials, as their documents have it (fit_seconds).",
            "library",
            ALLOWED_PACKAGES,
        )
        self._saved = counter(
            "warren_saved_seconds_total", "Seconds that training these trials apart would have taken more (estimated)."
        )
        self._wasted = counter(
            "warren_wasted_seconds_total", "Seconds of training that ended without a result.", "cause", CAUSES
        )
        self._chunks = counter(
            "warren_chunks_total", "Chunks that this worker is done with.", "outcome", (*OUTCOMES, FOREIGN)
        )
        self._redeliveries = counter("warren_redeliveries_total", "Chunks that some worker had in hand before.")
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
        self._restarts = counter("warren_trainer_restarts_total", "Training processes that took the place of another.")
        self._had_trainer = False
        self._waiting = Gauge(
            "warren_results_waiting", "Trials that have ended and are not written yet.", registry=self.registry
        )

        self._chunk_since: float | None = None
        Gauge(
            "warren_chunk_seconds",
            "Seconds since the chunk in hand came; 0 while this worker has none.",
            registry=self.registry,
        ).set_function(self._chunk_seconds)

    def _chunk_seconds(self) -> float:
        since = self._chunk_since
        # Busy from the first moment, though the clock may not have moved.
        return 0.0 if since is None else max(time.monotonic() - since, 1e-3)

    def has_chunk(self, has: bool) -> None:
        """Note that this worker has a chunk in hand from now on, or none."""
        self._chunk_since = time.monotonic() if has else None

    def chunk_arrived(self, redelivered: bool, waited_seconds: float | None) -> None:
        """Count a chunk that the broker has delivered.

        Parameters
        ----------
        redelivered : bool
            As its delivery says.
        waited_seconds : float or None
            What `queue_wait` says. A redelivered chunk was in somebody's hand meanwhile, so its wait is left out.
        """
        if redelivered:
            self._redeliveries.inc()
        elif waited_seconds is not None:
            self._queue_wait.observe(waited_seconds)

    def chunk_ended(self, outcome: str) -> None:
        """Count a chunk that this worker is done with.

        Parameters
        ----------
        outcome : {"acknowledged", "requeued", "dead_lettered", "dropped", "foreign"}
            ``dropped``: acknowledged without training, for nobody wants it any more. ``foreign``: given back, for it
            belongs to another database.
        """
        self._chunks.labels(outcome).inc()

    def trials_ended(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Count trials by the documents that were written, those that were not there before.

        Parameters
        ----------
        documents : sequence of dict
            With the fields of `worker.training.trial_document.trial_document`.
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
        cause : {"abandoned", "crashed", "timed_out"}
            The worker was told to stop, the training process ended, or the trial's time did.
        """
        self._wasted.labels(cause).inc(max(0.0, seconds))

    def reconnected(self, server: str) -> None:
        """Count an outage that is over.

        Parameters
        ----------
        server : {"broker", "database"}
        """
        self._reconnects.labels(server).inc()

    def trainer_started(self) -> None:
        """Count a training process, if it is not this worker's first."""
        if self._had_trainer:
            self._restarts.inc()
        self._had_trainer = True

    def results_waiting(self, count: int) -> None:
        """Say how many results wait to be written."""
        self._waiting.set(count)

    def watch_memory(self, memory_bytes: Callable[[], int | None]) -> None:
        """Say who knows the training process's memory.

        Parameters
        ----------
        memory_bytes : callable
            Returns bytes, or None while there is no such process. Called on a thread of the HTTP server's.
        """
        self._memory.set_function(lambda: memory_bytes() or 0)

    def text(self) -> bytes:
        """Return the page that Prometheus reads (text format 0.0.4)."""
        return generate_latest(self.registry)
