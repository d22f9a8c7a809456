"""A study under steady killing: every two seconds a worker or its training process dies, and
yet it gets on.

``make chaos CASE=steady``. Four workers, 192 short XGBoost trials in 60 chunks. A training process
takes longer to import its libraries than a chunk takes to train, so most blows fall before a trial
has begun: no trial is at fault for them, and no chunk may be set aside.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from fleet import Fleet
from sklearn.datasets import load_breast_cancer
from xgboost import XGBClassifier

from producer import Study, local_stack, submit
from warren.broker import channel
from warren.queues import DEAD_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store

WORKERS, CHUNKS = 4, 60
BETWEEN_SECONDS = 2.0
STROKES = ("worker killed", "training process killed")
LIMIT_SECONDS = 15 * 60


def submit_study() -> Study:
    """Submit 192 trials of a few milliseconds a fold."""
    X, y = load_breast_cancer(return_X_y=True)
    grid = {
        "max_depth": [2, 3, 4, 5],
        "learning_rate": [0.05, 0.1, 0.2, 0.3],
        "subsample": [0.5, 0.75, 1.0],
        "min_child_weight": [1, 2, 4, 8],
    }
    return submit(XGBClassifier(n_estimators=10, n_jobs=1, random_state=0), grid, X, y, cv=3, n_chunks=CHUNKS)


def strike_until_done(study: Study, fleet: Fleet, chance: random.Random) -> Counter[str]:
    """Strike every two seconds until the study is complete."""
    blows: Counter[str] = Counter()
    deadline, told = time.monotonic() + LIMIT_SECONDS, time.monotonic()
    while (status := study.status()).state != "COMPLETE":
        if status.dead or time.monotonic() > deadline:
            print(f"not complete: {status}", flush=True)
            return blows
        fleet.fill()
        blows[fleet.strike(chance, STROKES)] += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{status.done:>5} of {status.total} trials, struck: {dict(blows)}", flush=True)
        time.sleep(BETWEEN_SECONDS)
    return blows


def dead_letters(settings: Settings) -> int:
    """Return how many messages were set aside."""
    with channel(settings) as opened:
        return int(opened.queue_declare(DEAD_QUEUE, passive=True).method.message_count)


def run(seed: int) -> int:
    """Run the study, and print what came of it; return 1 where a promise is broken."""
    os.environ["WARREN_THREADS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="warren-chaos-"))
    with local_stack(workers=0):
        settings = load_settings()
        fleet = Fleet(folder, WORKERS)
        began = time.monotonic()
        try:
            study = submit_study()
            blows = strike_until_done(study, fleet, random.Random(seed))
        finally:
            fleet.end()
        seconds = time.monotonic() - began
        store = Store(settings)
        numbers = Counter(document["number"] for document in store.trials.of(study.id))
        store.close()
        status, dead = study.status(), dead_letters(settings)
    lost, doubled = status.total - len(numbers), sum(numbers.values()) - len(numbers)
    print(f"{status.total} trials in {CHUNKS} chunks, {seconds:.0f} s with {WORKERS} workers; struck: {dict(blows)}")
    print(f"lost {lost}, doubled {doubled}, failed {status.failed}, in {DEAD_QUEUE} {dead}")
    broken = lost or doubled or status.failed or dead
    print("a promise is broken" if broken else "every promise was kept", f"(logs in {folder})")
    return int(bool(broken))
