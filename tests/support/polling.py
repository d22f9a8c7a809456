"""How tests wait: they look again and again until a deadline, and never sleep for as long as
something may take."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Poll until a condition holds; fail when the deadline is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)  # between two looks: whatever is waited for needs the processor too
