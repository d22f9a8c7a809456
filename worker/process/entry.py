"""The first program in a worker's container: takes passwords out of the environment, and becomes the command.

Run by path, as ``python -I -S entry.py COMMAND...``. A container's process 1 lasts as long as the container, and every
process in it may read its environment: `warren.safety.secrets` says how a worker gets its passwords instead. Other
commands in the image, such as ``warren tensorboard``, keep their environment.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

# Isolated, this interpreter finds only the standard library.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.safety.secrets import begin_again, must_hide


def main(command: list[str]) -> None:
    """Become a command; a worker without passwords in its environment."""
    if ("-m", "worker") in pairwise(command) and must_hide(os.environ):
        begin_again(command, os.environ)
    os.execvp(command[0], command)  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1:])
