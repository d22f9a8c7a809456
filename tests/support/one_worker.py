"""One worker for all tests of a file: a start costs seconds of a core, so it is paid once where no
test needs its own.

Whatever a test leaves in the queue is the next one's trouble: it ends, cancels or waits for
what it submits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faulty
import pytest
from servers import Urls, empty_queues, settings_of

from warren.settings import Settings


@dataclass(frozen=True, kw_only=True)
class OneWorker:
    """A worker process, the file it logs to, and the servers it works on."""

    process: subprocess.Popen[bytes]
    log: Path
    settings: Settings


@contextmanager
def one_worker(servers: Urls, folder: Path, **environment: str) -> Iterator[OneWorker]:
    """Start a worker on a database of its own, which the environment names until the end;
    then kill it."""
    with pytest.MonkeyPatch.context() as patch:
        settings = settings_of(servers, patch)
        empty_queues(settings)
        patch.setenv("WARREN_ALLOW", faulty.ALLOW)
        patch.setenv("PYTHONPATH", str(Path(faulty.__file__).parent))
        patch.setenv("WARREN_THREADS", "1")
        log = folder / "one-worker.log"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                env={**os.environ, "WARREN_WORKER_NAME": "the-one", **environment},
                stdout=output,
                stderr=output,
            )
        try:
            yield OneWorker(process=worker, log=log, settings=settings)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
            sys.stdout.write(log.read_text())
            empty_queues(settings)
