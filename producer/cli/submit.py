"""Commands that begin a study and follow it: submit, watch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from producer.cli.leaderboard import print_leaderboard
from producer.cli.output import add_command, note, on_interrupt, print_json, say
from producer.cli.studies import AsJson, StudyId, find, status_fields
from producer.cli.study_file import KEYS, read_study_file
from producer.formatting import plural
from producer.options import StudyOptions

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
    options = {key: StudyOptions.model_fields.get(name) for key, name in KEYS.items()}
    lines = [f"  {key}: {field.description}." for key, field in options.items() if field]
    add_command(app, submit, "Studies", more="\n".join(["Options of the study, in the file:", *lines]))
    add_command(app, watch, "Studies")


def _option(name: str, **given: Any) -> Any:
    """Return a command's option that takes the place of the file's."""
    return typer.Option(help=f"{StudyOptions.model_fields[name].description}, in place of the file's.", **given)


def submit(
    file: Annotated[Path, typer.Argument(metavar="STUDY.YAML", help="The study: YAML, or JSON (.json).")],
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet, in place of the path in the file.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict, in place of the file's.")
    ] = None,
    name: Annotated[str | None, _option("name")] = None,
    chunks: Annotated[int | None, _option("n_chunks", metavar="N", min=1)] = None,
    priority: Annotated[int | None, _option("priority", metavar="1-9", min=1, max=9)] = None,
    device: Annotated[Literal["cpu", "gpu"] | None, _option("device")] = None,
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

    The file may name under data: weight and group (columns), drop, categories, text (lists of
    columns). Text columns need a word on what they are. The grid may be a list of grids, each with
    its own `estimator` and `params` beside its values.
    """
    with on_interrupt("warren: interrupted; the same command again submits what is missing"):
        instead = {"name": name or None, "n_chunks": chunks, "priority": priority, "device": device}
        instead |= {"share_fits": False if no_share_fits else None}
        study = _submit(file, data, target, {option: value for option, value in instead.items() if value is not None})
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


def _submit(file: Path, data: Path | None, target: str | None, instead: Mapping[str, Any]) -> Study:
    from sklearn.base import is_classifier

    from producer import submit as submit_study
    from producer.cli.data_file import encode_labels, read_data
    from producer.cli.from_file import make_cv, make_search
    from producer.formatting import listing
    from warren.settings import load_settings

    place = {"path": str(data.resolve())} if data else {}
    place |= {"target": target} if target is not None else {}
    written = read_study_file(file, place)
    estimator, param_grid = make_search(written, load_settings().allow)
    options = {"cv": make_cv(written.cv), "name": written.name or file.stem, **instead}
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
        groups=columns.groups,
        sample_weight=columns.sample_weight,
        **written.options() | options,
    )


def _queued(status: Status) -> str:
    if not status.done:
        return f"{plural(status.total, 'trial')} queued"
    if status.done == status.total:
        return f"all {plural(status.total, 'trial')} have ended before; nothing was queued"
    return f"resumed, {status.done:,} of {plural(status.total, 'trial')} have ended before"


def watch(study_id: StudyId, timeout: Timeout = None, json_: AsJson = False) -> None:
    """Follow a study to its end, then print the best trials.

    Ctrl-C ends the watching, not the study. Status 1 where the study was cancelled or no
    trial completed.

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
