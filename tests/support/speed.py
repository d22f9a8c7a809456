"""Marks cases of a test as slow: `make test` leaves them out, `make test-all` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def slow_after(quick: int, cases: Sequence[Any]) -> list[Any]:
    """Return cases for `pytest.mark.parametrize`, with all but the first ones marked slow."""
    # Lists and other values are one argument; a tuple holds several.
    slow = (case if type(case) is tuple else (case,) for case in cases[quick:])
    return [*cases[:quick], *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]
