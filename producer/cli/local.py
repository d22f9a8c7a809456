"""Commands for this machine: `worker`, `up` and `demo`."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from producer.cli.output import add_command, ended_by_signals, note, on_interrupt, print_json, say
from producer.formatting import plural
from warren.settings import redact

# Default folder of the broker and the database for `up` and `demo`.
DATA_DIR = Path(".warren")
# Seconds between checks of the worker processes: short enough for a person.
_LOOK_SECONDS = 0.2

DataDir = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder that keeps the queue, the results and the logs between runs.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (demo, up, worker):
        add_command(app, command, "Machines")


def worker(
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes to run.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads per fit. Default: WARREN_THREADS, or the cores divided by --count."
        ),
    ] = None,
) -> None:
    """Run workers in the foreground until Ctrl-C.

    After Ctrl-C or SIGTERM they finish the current trial (WARREN_GRACE_SECONDS) and requeue the
    rest.

    Example:
      export AMQP_URL=... MONGO_URL=...       # as `warren up` prints
      warren worker --count 4 --threads 2
    """
    from warren.launch import module_command, module_environment
    from warren.settings import load_settings

    settings = load_settings()
    environment = module_environment(os.environ)
    if threads is not None:
        environment["WARREN_THREADS"] = str(threads)
    elif "WARREN_THREADS" not in environment:
        environment["WARREN_THREADS"] = str(max(1, settings.threads // count))
    command = module_command("worker")
    if count == 1:
        sys.stdout.flush()
        os.execve(sys.executable, command, environment)  # noqa: S606 - this interpreter
    raise typer.Exit(_run_workers(command, environment, count))


def _run_workers(command: list[str], environment: Mapping[str, str], count: int) -> int:
    """Run workers until all have ended and forward signals to them; return the highest status."""
    workers: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        for process in workers:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for position in range(count):
            named = environment.get("WARREN_WORKER_NAME")
            own = {"WARREN_WORKER_NAME": f"{named}-{position}"} if named else {}
            # In its own process group, so that it gets Ctrl-C only once, from this process.
            workers.append(subprocess.Popen(command, env={**environment, **own}, process_group=0))
        running = list(workers)
        while running:
            time.sleep(_LOOK_SECONDS)
            for process in [process for process in running if process.poll() is not None]:
                running.remove(process)
                if process.returncode:
                    left = plural(len(running), "worker")
                    note(f"warren: worker {process.pid} ended with status {process.returncode}; {left} left")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in workers:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return max((abs(process.returncode) for process in workers), default=0)


def up(
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Worker processes to run.")] = 2,
    data_dir: DataDir = DATA_DIR,
    json_: Annotated[bool, typer.Option("--json", help="Print URLs and folders as JSON, then keep running.")] = False,
) -> None:
    """Run a broker, a database and workers on this machine until Ctrl-C.

    If AMQP_URL and MONGO_URL are set, it uses those servers; only one of them is an error.
    Everything that it started stops at the end; the queue and the results stay in the folder for
    the next time.

    Example:
      warren up --workers 4 export AMQP_URL=... MONGO_URL=... WARREN_KEY=... # in another terminal,
      the lines that `up` prints warren submit study.yaml --wait
    """
    from producer import local_stack

    # Don't print passwords and keys that were set before.
    here = {name for name in ("AMQP_URL", "MONGO_URL", "WARREN_KEY") if os.environ.get(name)}
    with (
        ended_by_signals(),
        on_interrupt("stopped; the next `warren up` continues"),
        local_stack(workers, data_dir=data_dir, log=note) as stack,
    ):
        urls = {"AMQP_URL": stack.amqp_url, "MONGO_URL": stack.mongo_url}
        if json_:
            print_json(
                {
                    **{name.lower(): redact(url) if name in here else url for name, url in urls.items()},
                    "warren_key": None if "WARREN_KEY" in here else stack.key,
                    "data_dir": stack.data_dir,
                    "logs": stack.logs,
                    "workers": workers,
                }
            )
        else:
            say()
            say("Run this in every other terminal that needs the servers:")
            say()
            for name, value in (urls | ({"WARREN_KEY": stack.key} if stack.key else {})).items():
                say(f"  {name} as set here" if name in here else f"  export {name}={shlex.quote(value)}")
            say()
            say("MongoDB Compass opens the MONGO_URL.")
        sys.stdout.flush()
        note(f"{plural(workers, 'worker')} running; data in {stack.data_dir}, logs in {stack.logs}; Ctrl-C stops all")
        _sleep()


def demo(
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, help="Worker processes to run. 0: use those at AMQP_URL.")
    ] = 2,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Run a demo: servers and workers on this machine, a grid over three libraries.

    It prints a leaderboard at the end. A second run finds the results of the first and repeats
    none.

    Example:
      warren demo
    """
    from producer.cli.demo import run

    with ended_by_signals(), on_interrupt("stopped; run `warren demo` again to continue"):
        run(workers=workers, data_dir=data_dir)


def _sleep() -> NoReturn:
    while True:
        signal.pause()
