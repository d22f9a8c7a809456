"""Commands on machines: worker, up, demo."""

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

# Where `up` and `demo` keep broker and database unless told.
DATA_DIR = Path(".warren")
# Seconds between two looks at the worker processes: soon enough for a person.
_LOOK_SECONDS = 0.2

DataDir = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where the queue, the results and the logs are kept from run to run.")
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
            metavar="N", min=1, help="Threads a fit. Default: WARREN_THREADS, or the cores divided by --count."
        ),
    ] = None,
) -> None:
    """Run workers in the foreground until Ctrl-C.

    Ctrl-C or SIGTERM lets them finish the trial in hand (WARREN_GRACE_SECONDS) and give back the rest.

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
        os.execve(sys.executable, command, environment)  # noqa: S606 - this very interpreter
    raise typer.Exit(_run_workers(command, environment, count))


def _run_workers(command: list[str], environment: Mapping[str, str], count: int) -> int:
    """Run workers until all have ended, passing on the signals that end them; return the worst status."""
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
            # A process group of its own: Ctrl-C comes once, from here.
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
    json_: Annotated[bool, typer.Option("--json", help="Print where everything is as JSON, then stay.")] = False,
) -> None:
    """Run a broker, a database and workers on this machine until Ctrl-C.

    Servers that AMQP_URL and MONGO_URL name are used as they are; one alone is refused. Everything started here is
    gone at the end; queue and results stay in the folder for the next time.

    Example:
      warren up --workers 4
      export AMQP_URL=... MONGO_URL=... WARREN_KEY=...    # in another terminal, the lines that `up` prints
      warren submit study.yaml --wait
    """
    from producer import local_stack

    # Servers that were there keep their passwords to themselves, and so does a key; no stack mixes them with its own.
    here = {name for name in ("AMQP_URL", "MONGO_URL", "WARREN_KEY") if os.environ.get(name)}
    with (
        ended_by_signals(),
        on_interrupt("stopped; the next `warren up` goes on from here"),
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
            say("In every other terminal that is to find them:")
            say()
            for name, value in (urls | ({"WARREN_KEY": stack.key} if stack.key else {})).items():
                say(f"  {name} as it is set here" if name in here else f"  export {name}={shlex.quote(value)}")
            say()
            say("MongoDB Compass opens the second of the two.")
        sys.stdout.flush()
        note(f"{plural(workers, 'worker')} running; data in {stack.data_dir}, logs in {stack.logs}; Ctrl-C stops all")
        _sleep()


def demo(
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, help="Worker processes to run. 0: there are some at AMQP_URL already.")
    ] = 2,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """See it work: servers and workers on this machine, a real grid over three libraries, its leaderboard.

    Run again, it finds its results and repeats none.

    Example:
      warren demo
    """
    from producer.cli.demo import run

    with ended_by_signals(), on_interrupt("stopped; `warren demo` again goes on where this ended"):
        run(workers=workers, data_dir=data_dir)


def _sleep() -> NoReturn:
    while True:
        signal.pause()
