"""The command ``warren``: its commands, and what becomes of errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from producer.cli import cluster, dashboard, export, local, results, studies, submit, tensorboard
from producer.cli.output import INTERRUPTED, MARKUP, complain, fill, say
from warren.errors import WarrenError
from warren.printable import one_line
from warren.streams import open_standard_streams

# The exit status of a program whose reader went away, as shells have it: 128 + SIGPIPE.
_READER_GONE = 141

HELP = """Tune hyperparameters with as many workers as you can rent.

A study is one search over a grid of parameters. `warren submit` cuts it into chunks on a queue, workers
evaluate its trials, and every result lands in MongoDB, where the other commands find it.

Try it on this machine, with nothing else set up:
  warren demo

In three terminals:
  warren up                  # servers, two workers; prints what to export
  warren submit study.yaml   # prints the id of the study
  warren watch breast        # progress, then the best; an id's beginning does

The servers are named by AMQP_URL (amqp://user:password@host:5672/%2F) and MONGO_URL
(mongodb://user:password@host:27017/tuning).
"""

app = typer.Typer(
    name="warren",
    help=fill(HELP),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the sentence alone, as text to a terminal."""
        return one_line(record.getMessage())


def _version(wanted: bool) -> None:
    if wanted:
        say(f"warren {metadata.version('warren')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for module in (submit, results, export, dashboard, tensorboard, studies, local, cluster):
    module.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        What stands after ``warren``; None takes it from the process.

    Returns
    -------
    int
        0 done; 1 an error, one line on standard error; 2 the command was misspelt; 130 ended by Ctrl-C;
        141 nobody reads standard output any more.
    """
    open_standard_streams()
    # pika reports each lost connection as a stack of errors; what comes of it is said in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if logging.lastResort is not None:  # which writes what nobody has set logging up for, as here
        logging.lastResort.setFormatter(_Plain())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ± gets a question mark
    try:
        try:
            app(args=None if arguments is None else list(arguments), prog_name="warren")
        except SystemExit as exc:
            sys.stdout.flush()
            return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        sys.stdout.flush()
    except WarrenError as exc:
        complain(exc)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at exit: let it go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    return 0
