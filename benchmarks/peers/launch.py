"""Runs each peer in a process of its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
INSTALL = "make peers"
# Seconds for one peer, including its start: several times as long as the slowest takes.
LIMIT_SECONDS = 300
_IS_ABSENT = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


class PeerError(Exception):
    """A peer gave no figure. The text says why."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system to compare with.

    Attributes
    ----------
    name : str
        Name in the table.
    package : str
        Name to import.
    command : tuple of str
        Its module in `benchmarks.peers`, and arguments.
    trials : int
        A number that takes some seconds.
    results : str
        Where results are stored.
    on_servers : bool, default=False
        Whether it runs on the broker and the database of a stack.
    """

    name: str
    package: str
    command: tuple[str, ...]
    trials: int
    results: str
    on_servers: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The result of one run."""

    seconds: float
    trials: int
    version: str

    @property
    def milliseconds(self) -> float:
        """Wall time for each trial."""
        return 1000 * self.seconds / self.trials


PEERS = (
    Peer(
        name="Celery, MongoDB",
        package="celery",
        command=("run_celery", "--results", "mongodb"),
        trials=500,  # the stand-in database slows down from a thousand writes on
        results="documents",
        on_servers=True,
    ),
    Peer(
        name="Celery, files",
        package="celery",
        command=("run_celery", "--results", "files"),
        trials=2_000,
        results="files",
        on_servers=True,
    ),
    Peer(name="Dask", package="distributed", command=("run_dask",), trials=2_000, results="memory"),
    Peer(
        name="Optuna, journal file",
        package="optuna",
        command=("run_optuna", "--storage", "journal"),
        trials=2_000,
        results="a file",
    ),
    Peer(
        name="Optuna, SQLite",
        package="optuna",
        command=("run_optuna", "--storage", "sqlite"),
        trials=500,
        results="a database file",
    ),
    Peer(
        name="Ray Tune, actors reused",
        package="ray",
        command=("run_ray", "--reuse-actors"),
        trials=200,
        results="files",
    ),
    Peer(name="Ray Tune, with defaults", package="ray", command=("run_ray",), trials=5, results="files"),
)


def run_peer(peer: Peer, trials: int) -> Figure:
    """Run a peer once.

    Parameters
    ----------
    peer : Peer
    trials : int

    Returns
    -------
    Figure

    Raises
    ------
    PeerError
        It is not installed, fails, or takes too long.
    """
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", _IS_ABSENT, peer.package], cwd=ROOT).returncode:
        raise PeerError(f"not installed; {INSTALL}")
    module, *arguments = peer.command
    command = [str(PYTHON), "-m", f"{__package__}.{module}", *arguments, "--trials", str(trials)]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            command,
            cwd=ROOT,
            # The folder is deleted even if the process has to be killed.
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Only this process gets Ctrl-C, and then ends the peer with all its descendants.
            start_new_session=True,
        ) as process,
    ):
        try:
            output, errors = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise PeerError(f"took more than {LIMIT_SECONDS} s") from None
        finally:
            _end(process)
    if process.returncode:
        raise PeerError(f"failed: {(errors.strip().splitlines() or ['no word'])[-1]}")
    return Figure(**json.loads(output.strip().splitlines()[-1]))


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, and its descendants.

    A process that ended by itself has ended its descendants.
    """
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
