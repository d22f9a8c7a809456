"""A worker that dies at a point of our choice: ``python -m dying_worker results before 2`` is
killed as by SIGKILL before it writes results for the second time."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from warren.storage.store import Store
from warren.storage.trials import Trials
from warren.storage.unfinished import Unfinished
from worker.__main__ import main
from worker.consumer.consumer import Consumer

POINTS = {
    "results": (Trials, "insert"),
    "count": (Store, "add_progress"),
    "folds": (Unfinished, "keep_folds"),
    "forgetting": (Unfinished, "drop"),
    "acknowledgement": (Consumer, "_settle"),
}


def arm(point: str, when: str, time: int) -> None:
    """Let this process die before or after the n-th call of a point."""
    owner, name = POINTS[point]
    original = getattr(owner, name)
    calls = 0

    def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        if name != "insert" or args[1]:  # an empty write is none
            calls += 1
        if calls == time and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == time and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dies)


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit(main())
