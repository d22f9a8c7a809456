"""The first program in a container: hides a worker's passwords, then runs the command.

Run by path, as ``python -I -S entry.py COMMAND...``. Process 1 of a container lives as long as the
container, and every process in the container may read its environment: `warren.safety.secrets`
explains how a worker gets its passwords instead. Other commands in the image, such as ``warren
tensorboard``, keep their environment.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

# In isolated mode this interpreter finds only the standard library.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.safety.secrets import has_secrets, restart_without_secrets


def main(command: list[str]) -> None:
    """Replace this process by a command.

    For a worker, remove passwords from the environment first.
    """
    if ("-m", "worker") in pairwise(command) and has_secrets(os.environ):
        restart_without_secrets(command, os.environ)
    os.execvp(command[0], command)  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1:])
