"""A study under fire: workers and training processes are killed, servers restarted, and nothing may
be lost or change.

``make chaos``; ``make chaos CASE=steady`` is another case, in `steady`.

Six workers take 500 and more real trials of four kinds. Every few seconds a worker or training
process dies by SIGKILL, or a worker is evicted by SIGTERM; in the middle the broker and the
database are restarted, twice each. Then the same study runs undisturbed, and every score is
compared bit for bit.
"""

from __future__ import annotations

import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import counted
import steady
from catboost import CatBoostClassifier
from fleet import Fleet
from lightgbm import LGBMClassifier
from servers import restart_broker, restart_database
from sklearn.datasets import load_breast_cancer
from xgboost import XGBClassifier

from producer import Study, local_stack, submit
from producer.stack import LocalStack
from warren.settings import load_settings
from warren.storage.store import Store

WORKERS, FOLDS = 6, 5
# Seconds between two blows: a trial takes about as long on a machine that six workers share.
BETWEEN = (2.0, 5.0)
# A process that is killed looks like one that its trial took down; here no trial is at fault.
MANY_ATTEMPTS = "50"
STROKES = ("worker killed", "training process killed", "worker evicted")
SUPPORT = Path(counted.__file__).parent
LIMIT_SECONDS = 40 * 60


def submit_study(name: str, diary: Path) -> Study:
    """Submit 540 trials of three boosting libraries, which share fits, and a forest that
    notes its own."""
    X, y = load_breast_cancer(return_X_y=True)
    rounds = [20, 40, 60, 80, 100]
    grid: list[dict[str, Any]] = [
        {"estimator": [XGBClassifier(n_jobs=1, random_state=0)], "n_estimators": rounds, "max_depth": [2, 3, 4, 5],
         "learning_rate": [0.05, 0.1, 0.2], "subsample": [0.5, 0.75, 1.0]},
        {"estimator": [LGBMClassifier(n_jobs=1, random_state=0, verbosity=-1)], "n_estimators": rounds,
         "num_leaves": [7, 15, 31], "learning_rate": [0.05, 0.1, 0.2], "min_child_samples": [5, 10, 20, 40]},
        {"estimator": [CatBoostClassifier(thread_count=1, random_seed=0, verbose=False, learning_rate=0.1)],
         "iterations": rounds, "depth": [2, 3, 4, 5], "l2_leaf_reg": [1, 3, 9]},
        {"estimator": [counted.CountedForest(diary=str(diary))], "n_estimators": [350], "max_depth": [*range(1, 61)],
         "random_state": [0, 1]},
    ]  # fmt: skip
    return submit(None, grid, X, y, cv=FOLDS, name=name)


def disturb(study: Study, fleet: Fleet, stack: LocalStack, chance: random.Random) -> Counter[str]:
    """Strike until the study is complete; restart the servers at a fifth, two, three and four of
    its trials."""
    blows: Counter[str] = Counter()
    restarts = [(0.2, "broker"), (0.4, "database"), (0.6, "broker"), (0.8, "database")]
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        fleet.fill()
        status = study.status()
        if status.state == "COMPLETE":
            return blows
        if time.monotonic() > deadline:
            raise SystemExit(f"not complete after {LIMIT_SECONDS} s: {status}")
        if restarts and status.done >= restarts[0][0] * status.total:
            what = restarts.pop(0)[1]
            (restart_broker if what == "broker" else restart_database)(stack)
            blows[f"{what} restarted"] += 1
            print(f"{status.done:>5} of {status.total} trials: {what} restarted", flush=True)
        else:
            blows[fleet.strike(chance, STROKES)] += 1
        time.sleep(chance.uniform(*BETWEEN))  # nothing is waited for: the blows come at random moments


def bits(document: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of a trial's document, as bytes."""
    scores = {key: value for key, value in document.items() if "_test_" in key}
    return {
        key: b"".join(struct.pack("<d", one) for one in (value if isinstance(value, list) else [value]))
        for key, value in scores.items()
    }


def main() -> int:
    """Run the case and the seed that the arguments name: ``steady 4711``, or ``4711`` for
    the great one."""
    names = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    if names not in ([], ["storm"], ["steady"]):
        raise SystemExit(f"CASE={' '.join(names)}: there are storm, which is the default, and steady")
    seed = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), random.randrange(10**6))
    print(f"seed {seed} (python tests/chaos {' '.join([*names, str(seed)])} strikes in the same order)", flush=True)
    return steady.run(seed) if names == ["steady"] else storm(seed)


def storm(seed: int) -> int:
    """Run both studies, and print what came of it."""
    os.environ |= {
        "WARREN_ALLOW": counted.ALLOW,
        "PYTHONPATH": str(SUPPORT),
        "WARREN_THREADS": "1",
        "WARREN_MAX_ATTEMPTS": MANY_ATTEMPTS,
    }
    folder = Path(tempfile.mkdtemp(prefix="warren-chaos-"))
    with local_stack(workers=0) as stack:
        fleet = Fleet(folder, WORKERS)
        try:
            began = time.monotonic()
            diary = folder / "disturbed"
            study = submit_study("disturbed", diary)
            blows = disturb(study, fleet, stack, random.Random(seed))
            disturbed_seconds = time.monotonic() - began
            calm = submit_study("undisturbed", folder / "undisturbed")
            fleet.fill()
            calm.wait(timeout=LIMIT_SECONDS)
        finally:
            fleet.end()
        store = Store(load_settings())
        documents = list(store.trials.of(study.id))
        expected = {document["number"]: bits(document) for document in store.trials.of(calm.id)}
        store.close()
    return report(study, blows, documents, expected, diary, disturbed_seconds, folder)


def report(
    study: Study,
    blows: Counter[str],
    documents: list[dict[str, Any]],
    expected: dict[int, dict[str, Any]],
    diary: Path,
    seconds: float,
    folder: Path,
) -> int:
    """Print lost, doubled, different and repeated work; return 1 where a promise is broken."""
    numbers = Counter(document["number"] for document in documents)
    total = len(expected)
    lost = total - len(numbers)
    doubled = sum(count - 1 for count in numbers.values())
    different = sum(bits(document) != expected[document["number"]] for document in documents)
    unwell = sum(document["state"] != "COMPLETE" for document in documents)
    begun = Counter(diary.read_text().split())
    forests = sum(document["estimator"] == "CountedForest" for document in documents)
    again = begun["begun"] - forests * FOLDS
    # A stroke costs the current fold; a broker's restart that of every worker, for its chunk
    # goes to another.
    allowed = sum(blows[what] for what in STROKES) + WORKERS * blows["broker restarted"]
    print(f"{total} trials, {FOLDS} folds, {seconds:.0f} s with {WORKERS} workers; struck: {dict(blows)}")
    print(f"lost {lost}, doubled {doubled}, failed {unwell}, scores that differ {different}")
    print(f"tried again: {sum(document['attempts'] > 1 for document in documents)} trials")
    fits = sum(document["fit_seconds"] for document in documents if document["estimator"] == "CountedForest")
    print(
        f"of {forests * FOLDS} fits of forests {again} were begun again, at most {allowed} are allowed: "
        f"{again * fits / (forests * FOLDS):.0f} s wasted of {fits:.0f}"
    )
    broken = lost or doubled or different or unwell or again > allowed
    print("a promise is broken" if broken else "every promise was kept", f"(logs in {folder})")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
