"""The command ``warren``: registers its commands and turns errors into exit codes."""

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
from warren.safety.printable import one_line
from warren.streams import open_standard_streams

# The shell's exit status for a program whose output no one reads any more: 128 + SIGPIPE.
_READER_GONE = 141

HELP = """Tune hyperparameters with as many workers as you can rent.

A study is one search over a grid of parameters. `warren submit` cuts it into chunks on a queue, workers
evaluate its trials and write every result to MongoDB, where the other commands read it.

Try it on this machine, without any setup:
  warren demo

In three terminals:
  warren up                  # starts servers and two workers; prints what to export
  warren submit study.yaml   # prints the id of the study
  warren watch breast        # progress, then the best; the beginning of an id is enough

Set the servers by AMQP_URL (amqp://user:password@host:5672/%2F) and MONGO_URL
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
        """Return only the message, on one line."""
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
        The arguments after ``warren``; None takes those of the process.

    Returns
    -------
    int
        0: success; 1: an error, printed on standard error; 2: wrong usage; 130: ended by Ctrl-C;
        141: no one reads standard output any more.
    """
    open_standard_streams()
    # pika logs several errors for each lost connection; we print one line instead.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if logging.lastResort is not None:  # it handles records while no handler is configured
        logging.lastResort.setFormatter(_Plain())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that can't show ± gets a question mark
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
        # Python flushes standard output at exit: send that to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    return 0
