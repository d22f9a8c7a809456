"""The command `export`: writes the best model of a study to a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from producer.cli.output import add_command, note, on_interrupt, print_json, say
from producer.cli.studies import AsJson, StudyId, find
from producer.formatting import plural


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    add_command(app, export, "Studies")


def export(
    study_id: StudyId,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The folder to create; for a network, its parent folder.")
    ],
    trial: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Number of the trial. Default: the best one.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="json: XGBoost's text format instead of UBJ.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing export.")] = False,
    json_: AsJson = False,
) -> None:
    """Export a study's best model, trained on all data by a worker, with a manifest.

    The format is the library's own and loads without Warren: XGBoost's UBJ, LightGBM's text,
    CatBoost's cbm, skops for scikit-learn's estimators. A network is written to PATH/NAME/VERSION,
    where TensorFlow Serving expects it. JSON prints the manifest, with the path.

    Example:
      warren export breast models/breast
      warren export breast models/third --trial 3 --format json
      warren export digits models --json | jq -r .path
    """
    from producer.models.export import verify

    # Set before TensorFlow is imported: its log lines would hide our messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    study = find(study_id)
    note("waiting for the model that a worker trains on all data: Ctrl-C ends the waiting, not the training")
    with on_interrupt("warren: interrupted; run the same command again to continue"):
        folder = study.export(path, trial, format=format, overwrite=overwrite)
    manifest = verify(folder)
    if json_:
        print_json({"path": str(folder), **manifest})
        return
    files = manifest["files"].values()
    kilobytes = sum(file["bytes"] for file in files) / 1000
    what = f"{manifest['model']['format']}, {plural(len(files), 'file')}, {kilobytes:,.1f} kB"
    say(f"study {study.id}: model of trial {manifest['trial']} in {folder} ({what})")
