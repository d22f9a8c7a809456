"""Commands that begin a study and follow it: submit, watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from producer.cli.leaderboard import print_leaderboard
from producer.cli.output import add_command, note, on_interrupt, print_json, say
from producer.cli.studies import AsJson, StudyId, find, status_fields
from producer.formatting import plural

if TYPE_CHECKING:
    from producer.results.status import Status
    from producer.study import Study

# Trials that the leaderboard shows at the end of a study.
_TOP = 5

Timeout = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Stop watching after so long, with status 1; the study goes on.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (submit, watch):
        add_command(app, command, "Studies")


def submit(
    file: Annotated[Path, typer.Argument(metavar="STUDY.YAML", help="The study: YAML, or JSON (.json).")],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet, in place of the path in the file.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict, in place of the file's.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name, in place of the file's.")] = None,
    chunks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Messages to cut the grid into, in place of the file's.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="1-9", min=1, max=9, help="Share of the workers beside other studies, in place of the file's; 1."
        ),
    ] = None,
    device: Annotated[
        Literal["cpu", "gpu"] | None,
        typer.Option(
            help="Where fits run, in place of what the file or its estimators say; gpu waits for such workers."
        ),
    ] = None,
    no_share_fits: Annotated[
        bool,
        typer.Option("--no-share-fits", help="Fit every trial by itself, also where one fit does for several."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it to its end, then print the leaderboard.")] = False,
    json_: AsJson = False,
) -> None:
    """Submit a study from a file. The same file and data again resume it.

    Example, study.yaml:
      name: breast-cancer
      data: {path: breast_cancer.csv, target: diagnosis}
      estimator: xgboost.XGBClassifier
      params: {subsample: 0.8}
      grid:
        max_depth: [2, 4, 6]
        learning_rate: [0.05, 0.1, 0.2]
      cv: {splitter: StratifiedKFold, n_splits: 5, shuffle: true, random_state: 0}
      scoring: [accuracy, roc_auc]

      warren submit study.yaml --wait
      warren submit study.yaml --data other.parquet --target price --json

    Also in the file: refit, error_score, return_train_score, trial_timeout (seconds), chunks, priority, share_fits,
    device (gpu or cpu), validation_fraction (for early stopping), and under data: weight and group (columns), drop,
    categories, text (lists of columns). Text columns need a word on what they are. The grid may be a list of grids,
    each with its own `estimator` and `params` beside its values.
    """
    with on_interrupt("warren: interrupted; the same command again submits what is missing"):
        study = _submit(file, data, target, name, chunks, priority, device, share_fits=not no_share_fits)
        status = study.status()
    if not wait:
        if json_:
            print_json(status_fields(status))
            return
        say(f"study {status.id} ({status.name}): {_queued(status)}")
        note(f"follow it with: warren watch {status.id}")
        return
    note(f"study {status.id} ({status.name}): {_queued(status)}")
    _follow(study, None, as_json=json_)


def _submit(
    file: Path,
    data: Path | None,
    target: str | None,
    name: str | None,
    chunks: int | None,
    priority: int | None,
    device: Literal["cpu", "gpu"] | None,
    *,
    share_fits: bool,
) -> Study:
    from sklearn.base import is_classifier

    from producer import submit as submit_study
    from producer.cli.data_file import encode_labels, read_data
    from producer.cli.from_file import make_cv, make_search
    from producer.cli.study_file import read_study_file
    from producer.formatting import listing
    from warren.settings import load_settings

    instead = {"path": str(data.resolve())} if data else {}
    instead |= {"target": target} if target is not None else {}
    written = read_study_file(file, instead)
    estimator, param_grid = make_search(written, load_settings().allow)
    cv = make_cv(written.cv)
    columns = read_data(written.data, file.parent)
    first = estimator
    if first is None:  # an ensemble that is not fitted has no truth value
        first = (param_grid if isinstance(param_grid, dict) else param_grid[0])["estimator"][0]
    y, labels = encode_labels(columns.y) if is_classifier(first) else (columns.y, [])
    if labels:
        shown = listing([f"{label} = {code}" for code, label in enumerate(labels)])
        note(f"{written.data.target}: text labels become numbers: {shown}")
    return submit_study(
        estimator,
        param_grid,
        columns.X,
        y,
        scoring=written.scoring,
        cv=cv,
        groups=columns.groups,
        sample_weight=columns.sample_weight,
        refit=written.refit,
        n_chunks=chunks or written.chunks,
        share_fits=share_fits and written.share_fits,
        name=name or written.name or file.stem,
        error_score=written.error_score,
        return_train_score=written.return_train_score,
        trial_timeout=written.trial_timeout,
        validation_fraction=written.validation_fraction,
        priority=priority or written.priority,
        device=device or written.device,
    )


def _queued(status: Status) -> str:
    if not status.done:
        return f"{plural(status.total, 'trial')} queued"
    if status.done == status.total:
        return f"all {plural(status.total, 'trial')} have ended before; nothing was queued"
    return f"resumed, {status.done:,} of {plural(status.total, 'trial')} have ended before"


def watch(study_id: StudyId, timeout: Timeout = None, json_: AsJson = False) -> None:
    """Follow a study to its end, then print the best trials.

    Ctrl-C ends the watching, not the study. Status 1 where the study was cancelled or no trial completed.

    Example:
      warren watch breast
      warren watch breast --json | jq .best_score
    """
    _follow(find(study_id), timeout, as_json=json_)


def _follow(study: Study, timeout: float | None, *, as_json: bool) -> None:
    parting = f"warren: study {study.id} goes on without you; look again with: warren watch {study.id}"
    with on_interrupt(parting, after_bar=True):
        try:
            study.wait(timeout, progress=True)
        except TimeoutError:
            note(parting)
            raise typer.Exit(1) from None
    status = study.status()
    if as_json:
        print_json(status_fields(status))
    else:
        print_leaderboard(study, status, _TOP)
        say(f"all results: warren results {study.id}")
    if status.state == "CANCELLED" or not status.complete:
        raise typer.Exit(1)
