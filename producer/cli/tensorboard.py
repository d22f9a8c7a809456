"""The command `tensorboard`: writes studies for TensorBoard and serves it."""

from __future__ import annotations

import contextlib
import sys
import time
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.dashboard import AllowHost
from producer.cli.output import add_command, ended_by_signals, note, say
from producer.cli.studies import find
from producer.formatting import plural
from warren.errors import StoreError

if TYPE_CHECKING:
    from producer.views.tensorboard.log_folder import Board, Changes
    from producer.views.tensorboard.server import BoardPage

# Seconds between reads of the database; TensorBoard reads the folder twice as often.
_REFRESH_SECONDS = 10.0


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    add_command(app, tensorboard, "Studies")


def tensorboard(
    study_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Studies to show, or beginnings of ids. [all]", show_default=False),
    ] = None,
    logdir: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="Folder for the runs.")] = Path(
        "tensorboard-logs"
    ),
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of best trials of a study to show.")] = 1000,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Serve TensorBoard, or only write the runs once.")
    ] = True,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 chooses a free port.")] = 6006,
    allow_host: AllowHost = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Show the studies in TensorBoard, live, until Ctrl-C.

    Every trial is a run: its parameters and scores are in the HParams table, its folds among the
    scalars. The log folder mirrors the database, and TensorBoard serves it to this machine only.

    Example:
      warren tensorboard
      warren tensorboard breast --top 200 --port 6007 --open
      warren tensorboard breast --logdir logs --no-serve
    """
    from producer.views.optional_packages import require

    require("warren tensorboard", "tensorboard")
    from producer.views.tensorboard.log_folder import Board
    from producer.views.tensorboard.server import BoardPage
    from warren.settings import load_settings
    from warren.storage.store import Store

    with ended_by_signals(), closing(Store(load_settings())) as store:
        store.ping()
        chosen = [find(study_id).id for study_id in study_ids or ()]
        with closing(Board(store, logdir, chosen, top)) as board:
            found = board.refresh()
            if not serve:
                say(str(board.folder))
                note(_summary(found, top))
                return
            page = BoardPage(board.folder, port, allow_host or ())
            with contextlib.suppress(KeyboardInterrupt):
                say(f"{page.url}#hparams")
                sys.stdout.flush()
                note(f"{_summary(found, top)}; Ctrl-C ends it")
                if open_:
                    webbrowser.open(f"{page.url}#hparams")
                try:
                    _keep_fresh(board, page)
                finally:
                    page.stop()


def _keep_fresh(board: Board, page: BoardPage) -> None:
    unreachable = False
    while True:
        time.sleep(_REFRESH_SECONDS)
        page.check()
        try:
            board.refresh()
        except StoreError as exc:
            if not unreachable:
                note(f"warren: {exc}; TensorBoard shows the last results until then")
            unreachable = True
        else:
            unreachable = False


def _summary(found: Changes, top: int) -> str:
    """Return the number of studies and runs in the folder, and what it leaves out."""
    whole = f"{plural(found.studies, 'study')}, {plural(found.shown, 'run')}"
    if found.shown == found.ended:
        return whole
    return f"{whole} of {found.ended:,}: the best {top:,} of a study, more with --top"
