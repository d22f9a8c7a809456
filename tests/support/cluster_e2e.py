"""A study on a cluster whose workers are scaled, deleted at random and rolled: what
k8s/e2e.sh runs.

Every trial must end with exactly one document, and every score must equal, bit for bit, that of
scikit-learn's ``GridSearchCV`` in this process. Whatever is awaited has a deadline.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from lightgbm import LGBMClassifier
from searches import Search, assert_same_results
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from producer import Study
from warren.host import cpu_model
from warren.settings import load_settings
from warren.storage.store import Store

T = TypeVar("T")

# Seconds for one command of kubectl that does not wait for anything.
_COMMAND_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_TRIES = 4
# The part of the study within which workers are deleted: the rest is for those that took
# their places.
_DISTURBED = 0.7


class Fleet(Protocol):
    """Workers that can be scaled, deleted and rolled."""

    def scale(self, count: int) -> None:
        """Ask for so many workers."""

    def workers(self) -> list[str]:
        """Return the names of those that are ready."""

    def delete(self, name: str, *, hard: bool) -> None:
        """Delete one: with its grace, or at once."""

    def roll(self) -> None:
        """Replace all of them, some at a time."""

    def settle(self, seconds: float) -> None:
        """Wait until all are replaced and ready."""


class Kubectl:
    """The Deployment ``worker`` of a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def _run(self, *arguments: str, seconds: float = _COMMAND_SECONDS, tries: int = _TRIES) -> str:
        command = ["kubectl", "--namespace", self._namespace, *arguments]
        while True:
            tries -= 1
            try:
                return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
                why = f"{' '.join(command)}: {(exc.stderr or str(exc)).strip()}"
                if tries <= 0:
                    raise SystemExit(why) from exc
                say(f"{why}; again")  # a small cluster is busy, and so is its API
                time.sleep(_LOOK_SECONDS)

    def scale(self, count: int) -> None:
        self._run("scale", "deployment/worker", f"--replicas={count}")

    def workers(self) -> list[str]:
        found = json.loads(self._run("get", "pods", "--selector=app.kubernetes.io/name=worker", "--output=json"))
        there = [one for one in found["items"] if "deletionTimestamp" not in one["metadata"]]
        return [one["metadata"]["name"] for one in there if _is_ready(one["status"])]

    def delete(self, name: str, *, hard: bool) -> None:
        # A pod may be gone since it was listed.
        how = ("--grace-period=0", "--force") if hard else ()
        self._run("delete", "pod", name, "--wait=false", "--ignore-not-found", *how)

    def roll(self) -> None:
        self._run("rollout", "restart", "deployment/worker", tries=1)

    def settle(self, seconds: float) -> None:
        what = ("rollout", "status", "deployment/worker", f"--timeout={seconds:.0f}s")
        self._run(*what, seconds=seconds + _COMMAND_SECONDS)


def _is_ready(status: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))


def search_of(trees: int) -> Search:
    """Return 200 trials: forests that take their time and share nothing, and boosting, which the
    image has too."""
    X, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(random_state=0, n_jobs=1)
    boosters = [XGBClassifier(n_jobs=1, random_state=0), LGBMClassifier(n_jobs=1, random_state=0, verbosity=-1)]
    # A pipeline of one step, which scikit-learn's own search can put several models into.
    grid: list[dict[str, Any]] = [
        {
            "model": [forest],
            "model__n_estimators": [trees - 20, trees - 10, trees, trees + 10, trees + 20],
            "model__max_depth": [4, 6, 8, 10],
            "model__min_samples_leaf": [1, 2, 3, 4],
            "model__criterion": ["gini", "entropy"],
        },
        {
            "model": boosters,
            "model__n_estimators": [20, 40, 60, 80, 100],
            "model__learning_rate": [0.05, 0.1, 0.2, 0.3],
        },
    ]
    pipeline = Pipeline([("model", forest)])
    return Search(pipeline, grid, X, y, options={"cv": 3, "scoring": ["roc_auc", "accuracy"]})


def until(look: Callable[[], T], seconds: float, what: str) -> T:
    """Look again and again until something is there; return it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)
    return found


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def disturb(study: Study, fleet: Fleet, deletions: int, chance: random.Random, seconds: float) -> Counter[str]:
    """Delete workers while the study runs, and roll all of them in the middle; return
    what was done."""
    blows: Counter[str] = Counter()
    for number in range(deletions):
        share = _DISTURBED * number / deletions
        until(
            lambda share=share: (status := study.status()).done >= max(1, share * status.total),
            seconds,
            f"{share:.0%} of the trials have ended",
        )
        if number == deletions // 2:
            fleet.roll()
            blows["rollouts"] += 1
            say(f"{study.status().done} of {study.status().total} trials: rolling all workers")
        victim, hard = chance.choice(until(fleet.workers, seconds, "a worker is ready")), bool(number % 2)
        fleet.delete(victim, hard=hard)
        blows["killed" if hard else "evicted"] += 1
        say(f"{study.status().done} of {study.status().total} trials: {victim} {'killed' if hard else 'evicted'}")
    return blows


def check(study: Study, search: Search) -> list[str]:
    """Return what is wrong with a study that has ended."""
    store = Store(load_settings())
    documents = list(store.trials.of(study.id))
    store.close()
    numbers = Counter(document["number"] for document in documents)
    total = study.status().total
    wrong = []
    if lost := sorted(set(range(total)) - set(numbers)):
        wrong.append(f"{len(lost)} of {total} trials have no document: {lost[:10]}")
    if doubled := sorted(number for number, count in numbers.items() if count > 1):
        wrong.append(f"{len(doubled)} trials have more than one document: {doubled[:10]}")
    if stray := sorted(set(numbers) - set(range(total))):
        wrong.append(f"documents of trials that there are not: {stray[:10]}")
    if failed := [f"{one['number']}: {one['error']}" for one in documents if one["state"] != "COMPLETE"]:
        wrong.append(f"{len(failed)} trials failed: {failed[:3]}")
    if differ := study.status().versions_text:
        wrong.append(f"other versions than the workers': {differ}")
    if not wrong:
        say(f"{len(documents)} trials, a document each; now the same {total} in this process")
        try:
            assert_same_results(study.cv_results_, search.here().cv_results_)
        except AssertionError as exc:
            cpus = sorted({str(document["cpu"]) for document in documents})
            where = f"the workers' CPUs were {cpus}, this is {cpu_model()}"
            wrong.append(f"scores are not those of GridSearchCV here: {exc}; {where}")
    workers = {document["worker"] for document in documents}
    again = sum(document["attempts"] > 1 for document in documents)
    say(f"{len(workers)} workers wrote results, {again} trials were tried more than once")
    return wrong


def run(fleet: Fleet, search: Search, *, workers: int, deletions: int, seconds: float, seed: int) -> list[str]:
    """Run the study under fire; return what is wrong afterwards."""
    study = search.there()
    total = study.status().total
    say(f"study {study.id}: {total} trials, seed {seed}")
    fleet.scale(workers)
    blows = disturb(study, fleet, deletions, random.Random(seed), seconds)
    wrong = [] if study.status().state != "COMPLETE" else ["the study was over before the last worker was deleted"]
    try:
        study.wait(timeout=seconds, progress=False)
    except TimeoutError:
        return [f"{study.status().done} of {total} trials have ended after {seconds:.0f} s"]
    fleet.settle(seconds)
    say(f"complete, with {', '.join(f'{count} {what}' for what, count in sorted(blows.items()))}")
    return wrong + check(study, search)


def main() -> int:
    """Run it on the cluster that the kubeconfig names; return 1 if anything is wrong."""
    from producer import Cluster

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--deletions", type=int, default=8)
    parser.add_argument("--trees", type=int, default=140, help="more of them make trials longer")
    parser.add_argument("--seconds", type=float, default=1200.0, help="for each thing that is awaited")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    search = search_of(options.trees)
    with Cluster(namespace=options.namespace).connect():
        wrong = run(
            Kubectl(options.namespace),
            search,
            workers=options.workers,
            deletions=options.deletions,
            seconds=options.seconds,
            seed=options.seed,
        )
    for line in wrong:
        say(f"WRONG: {line}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
