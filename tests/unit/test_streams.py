"""What a process prints after its reader has gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PRINTS = "import sys; sys.stdout.write('much')"
DROPS = f"{PRINTS}; from warren.streams import discard_unread_output; discard_unread_output()"


@pytest.mark.parametrize(("program", "code"), [(PRINTS, 120), (DROPS, 0)], ids=["as python does it", "dropped"])
def test_a_program_whose_output_nobody_takes_ends_as_it_went(program: str, code: int) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-E", "-c", program], stdout=full, stderr=subprocess.DEVNULL, timeout=60
        )
    assert ended.returncode == code
