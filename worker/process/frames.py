"""Room for the frames of Python's calls, in one piece.

CPython 3.11 and 3.12 keep frames in chunks of 16 KiB, and give one back as soon as the call that needed it returns. A
loop whose calls cross the end of a chunk asks the system for memory and returns it, call by call: how fast Keras trains
then depends on how deep in the stack it was called (https://github.com/python/cpython/issues/142183; later versions
keep a chunk).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Slots, of 8 bytes, of the frame that is made. A chunk has what its first frame and 1,000 slots need, rounded up to a
# power of two (CPython's push_chunk): 1 MiB here, of which half is left for the others. Keras takes a tenth of that.
_SLOTS = 2**16


def with_room(call: Callable[[], T]) -> T:
    """Call what calls others, a thousand deep and more, without asking the system for memory of their frames.

    Parameters
    ----------
    call : callable

    Returns
    -------
    object
        What it returns.
    """
    return call()


# The frame is as large as the code says that its stack is; pages of it that nobody touches take no memory.
with_room.__code__ = with_room.__code__.replace(co_stacksize=_SLOTS)
