"""The command `results`: prints a study's trials or writes them to a file."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.leaderboard import print_leaderboard
from producer.cli.output import add_command, as_json, note, print_json
from producer.cli.studies import AsJson, StudyId, find
from producer.formatting import plural
from warren.errors import InputError
from warren.safety.printable import printable

if TYPE_CHECKING:
    import pandas as pd

    from producer.study import Study

# First characters of a cell that spreadsheets interpret as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Default number of trials in the table.
_TOP = 10


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    add_command(app, results, "Studies")


def results(
    study_id: StudyId,
    top: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Only the N best; 0 is all. Default: 10 for the table, else all."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write CSV; - is standard output.")] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Parquet.")] = None,
    json_: AsJson = False,
) -> None:
    """Show a study's trials, best first; also while it runs.

    JSON, CSV and Parquet hold every trial that has ended, failed ones last, with all scores, times
    and errors. In CSV, text that a spreadsheet would interpret as a formula gets an apostrophe in
    front.

    Example:
      warren results breast --top 20
      warren results breast --csv results.csv
      warren results breast --json | jq '.[0].params'
    """
    study = find(study_id)
    if csv is None and parquet is None and not json_:
        print_leaderboard(study, study.status(), _TOP if top is None else top)
        return
    frame = _best_first(study)
    if top:
        frame = frame.head(top)
    if csv is not None:
        sheet = _flat(frame, _cell)
        _write(csv, lambda: sheet.to_csv(sys.stdout if str(csv) == "-" else csv, index=False), len(frame))
    if parquet is not None:
        _write(parquet, lambda: _flat(frame).to_parquet(parquet, index=False), len(frame))
    if json_:
        columns = [name for name in frame.columns if not name.startswith("param_")]
        print_json(frame[columns].to_dict(orient="records"))


def _best_first(study: Study) -> pd.DataFrame:
    frame = study.results()
    if frame.empty:
        return frame
    score = f"mean_test_{study.refit}"
    order = frame.assign(_failed=frame["state"] != "COMPLETE").sort_values(
        ["_failed", score, "number"], ascending=[True, False, True], na_position="last"
    )
    return order.drop(columns="_failed")


def _cell(text: str) -> str:
    """Return text as a cell of a CSV file that no spreadsheet interprets as a formula.

    Text that begins like a formula gets an apostrophe in front: OWASP, "CSV Injection". The check
    ignores leading spaces and normalises characters, as some programs do.
    """
    shown = printable(text)
    normalised = unicodedata.normalize("NFKC", text).lstrip(" ")
    return f"'{shown}" if normalised.startswith(_FORMULA) else shown


def _flat(frame: pd.DataFrame, text_of: Callable[[str], str] = str) -> pd.DataFrame:
    """Return the results for a file: columns with lists or mixed types become JSON text.

    `text_of` converts each text.
    """
    import pandas as pd

    flat = frame.copy()
    # Exclude dtypes that can't hold text: which dtype does depends on the version of pandas.
    for name in frame.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz", "timedelta"]):
        values = [as_json(value) for value in flat[name]]
        kinds = {type(value) for value in values if value is not None}
        if kinds & {dict, list} or (len(kinds) > 1 and kinds != {int, float}):
            values = [None if value is None else json.dumps(value) for value in values]
        else:
            values = [text_of(value) if isinstance(value, str) else value for value in values]
        flat[name] = pd.Series(values, index=flat.index)
    return flat.rename(columns=text_of)


def _write(path: Path, write: Callable[[], Any], rows: int) -> None:
    try:
        write()
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        raise InputError(f"{path}: can't be written ({exc.strerror or exc})") from exc
    if str(path) != "-":
        note(f"wrote {plural(rows, 'trial')} to {path}")
