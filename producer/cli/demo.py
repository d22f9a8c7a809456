"""``warren demo``: runs a grid over three libraries on this machine and prints its leaderboard."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producer.cli.leaderboard import print_failures, print_trials
from producer.cli.output import heading, note, say
from producer.formatting import plural
from warren.errors import StudyError
from warren.settings import redact

if TYPE_CHECKING:
    from producer.results.status import Status
    from producer.stack import LocalStack
    from producer.study import Study

NAME = "demo-breast-cancer"
METRICS = ("roc_auc", "accuracy")
FOLDS = 5
# Trials on the leaderboard.
_TOP = 10


def grids() -> list[dict[str, list[Any]]]:
    """Return the demo's space: 108 points per library; each fit takes a fraction of a second."""
    from catboost import CatBoostClassifier
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    return [
        {
            "estimator": [XGBClassifier(random_state=0)],
            "n_estimators": [30, 60, 90],
            "learning_rate": [0.05, 0.1, 0.3],
            "max_depth": [2, 3, 4],
            "subsample": [0.7, 1.0],
            "reg_lambda": [1.0, 5.0],
        },
        {
            "estimator": [LGBMClassifier(random_state=0)],
            "n_estimators": [40, 80, 120],
            "learning_rate": [0.05, 0.1, 0.3],
            "num_leaves": [4, 8, 16],
            "min_child_samples": [10, 20],
            "reg_lambda": [0.0, 5.0],
        },
        {
            "estimator": [CatBoostClassifier(random_state=0)],
            "iterations": [20, 40, 60],
            "learning_rate": [0.1, 0.2, 0.3],
            "depth": [2, 3],
            "l2_leaf_reg": [1.0, 3.0, 9.0],
            "random_strength": [0.5, 1.0],
        },
    ]


def run(*, workers: int, data_dir: Path) -> None:
    """Start servers and workers, run the search, and print its results.

    Parameters
    ----------
    workers : int
        Worker processes.
    data_dir : Path
        Folder of the broker and the database: a second run finds its results there.

    Raises
    ------
    StackError
        Servers or workers can't be started here.
    StudyError
        No trial completed.
    """
    from producer import local_stack

    # Existing servers: a stack uses both or neither.
    given = bool(os.environ.get("MONGO_URL"))
    started = time.monotonic()
    with local_stack(workers, data_dir=data_dir, log=note) as stack:
        logs = f"; logs in {stack.logs}" if workers or not given else ""
        note(f"Ready after {time.monotonic() - started:.1f} s{logs}.")
        # In its own function, so that the study's connection closes before its server stops.
        status = _search(stack, given, started)
    _next(status, data_dir, given)


def _search(stack: LocalStack, given: bool, started: float) -> Status:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import StratifiedKFold

    from producer import submit
    from producer.publishing.lane_choice import worker_listens
    from warren.settings import load_settings

    # Check before submitting: a worker that trains one of our chunks does not listen.
    no_listener = not (stack.workers or worker_listens(load_settings()))
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    study = submit(
        None,
        grids(),
        X,
        y,
        scoring=list(METRICS),
        refit=METRICS[0],
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0),
        name=NAME,
    )
    before = study.status()
    _introduce(before)
    if no_listener and before.done < before.total:
        note(
            "No idle worker listens: the trials wait for one. `warren worker` starts one, and `docker compose up -d` "
            "those of Compose."
        )
    study.wait()
    status = study.status()
    _leaderboard(study, status)
    _where(status, stack.mongo_url, stack.data_dir, given)
    _summary(before, status, time.monotonic() - started)
    return status


def _introduce(before: Status) -> None:
    fits = plural(before.total * FOLDS, "fit")
    note(
        f"Study {before.id}: {plural(before.total, 'trial')} on {FOLDS} folds, {fits}, scored by {', '.join(METRICS)}."
    )
    if before.done == before.total:
        note("All of them ended in an earlier run and are not repeated.")
    elif before.done:
        note(f"{before.done:,} of them ended in an earlier run and are not repeated.")


def _leaderboard(study: Study, status: Status) -> None:
    best = study.best_trials(_TOP)
    if not best:
        print_failures(study, status)
        raise StudyError(f"no trial of {status.id} completed")
    say()
    heading(f"The {len(best)} best of {plural(status.total, 'trial')}, by {METRICS[0]}")
    print_trials(study, best)
    say()
    heading("The best of each library")
    classes = [type(grid["estimator"][0]).__name__ for grid in grids()]
    print_trials(study, [trial for name in classes for trial in study.best_trials(1, estimator=name)])
    if status.failed:
        print_failures(study, status)


def _where(status: Status, mongo_url: str, data_dir: object, given: bool) -> None:
    url = redact(mongo_url) if given else f"{mongo_url} (while the servers run, see below)"
    say()
    heading("Where the results are")
    say(f"  MongoDB Compass  {url}")
    say("  collections      trials (one document each, indexed by score), studies; data in bucket datasets")
    say(f"  study            {status.id}")
    if given:
        say(f"  to start over    {_command()} delete {status.id}")
    else:
        say(f"  files            {data_dir} (delete it to start over)")


def _summary(before: Status, status: Status, seconds: float) -> None:
    ran = status.done - before.done
    failed = f", {status.failed:,} of all failed" if status.failed else ""
    fitted = status.fit_seconds - before.fit_seconds
    saved = status.saved_seconds - before.saved_seconds
    say()
    say(
        f"{plural(ran, 'trial')} ran now{failed}. It took {seconds:.0f} s; the workers spent {fitted:.0f} s on fits, "
        f"and sharing them saved {saved:.0f} s."
    )


def _next(status: Status, data_dir: Path, given: bool) -> None:
    warren = _command()
    place = "" if data_dir == Path(".warren") else f" --data-dir {shlex.quote(str(data_dir))}"
    say()
    heading("Next")
    if not given:
        say("The servers stop with the demo; the results stay. Start the servers again, and leave them running:")
        say(f"  {warren} up{place}")
        say("This prints the URL for Compass and the lines to export. Then, in another terminal:")
    say(f"  {warren} list")
    say(f"  {warren} results {status.id} --top 20")
    say(f"  {warren} results {status.id} --csv results.csv")
    if Path("examples/study.yaml").exists():
        say(f"  {warren} submit examples/study.yaml --wait")


def _command() -> str:
    """Return the command that starts this command line in the user's shell."""
    if shutil.which("warren"):
        return "warren"
    called = Path(sys.argv[0])
    return shlex.quote(sys.argv[0]) if called.name == "warren" else "python -m producer"
