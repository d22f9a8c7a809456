"""The command that serves the dashboard."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import closing
from typing import Annotated

import typer

from producer.cli.output import add_command, ended_by_signals, note, say
from producer.cli.studies import find
from warren.safety.http_hosts import is_loopback

AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Further host name to answer to, such as a proxy's.", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    add_command(app, dashboard, "Studies")


def dashboard(
    study_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="A study to show, or the beginning of its id.", show_default=False),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on. There is no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 chooses a free port.")] = 8080,
    allow_host: AllowHost = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Show the studies in a browser, live, until Ctrl-C.

    It shows the history, parallel coordinates, importances and every trial. It is optuna-dashboard,
    read only: no click changes a study.

    Example:
      warren dashboard
      warren dashboard breast --port 8081 --open
    """
    from producer.views.optional_packages import require

    require("warren dashboard", "optuna", "optuna-dashboard", "waitress")
    from producer.views.dashboard.server import Dashboard
    from warren.settings import load_settings
    from warren.storage.store import Store

    with ended_by_signals(), closing(Store(load_settings())) as store:
        store.ping()
        study = None if study_id is None else find(study_id).id
        served = Dashboard(store, host, port, allow_host or ())
        address = f"{served.url}/dashboard" if study is None else served.address_of(study)
        say(address)
        sys.stdout.flush()
        note(f"showing database {store.database!r} at {store.url}, read only; Ctrl-C ends it")
        if not is_loopback(host):
            note("warren: everyone who can reach this address can read every study: there is no password")
        if open_:
            webbrowser.open(address)
        served.run()
