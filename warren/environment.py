"""Environment variables that name servers, and the key to their studies, for a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_Names = dict[str, str | None]


class _Block:
    """What a block names, and what its variables said when it began."""

    def __init__(self, names: _Names, *, private: bool) -> None:
        self.names = names
        self.private = private
        self.before: _Names = {key: os.environ.get(key) for key in names}


# Blocks that last, the latest at the end. They may end in any order: stacks of a notebook do.
_blocks: list[_Block] = []
_lock = threading.Lock()


@contextlib.contextmanager
def named_servers(amqp_url: str, mongo_url: str, key: str | None = None, *, private: bool = False) -> Iterator[None]:
    """Let ``AMQP_URL`` and ``MONGO_URL`` name servers inside of a block, and afterwards what they named before.

    So does ``WARREN_KEY`` the key that their studies are signed with.

    Of blocks that overlap the one that began last counts. When all have ended, in whatever order, the environment is
    what it was before the first.

    Parameters
    ----------
    amqp_url, mongo_url : str
    key : str, default=None
        As ``WARREN_KEY`` has it; None is none.
    private : bool, default=False
        The servers end with the block: see `named_by_others`.
    """
    names: _Names = {"AMQP_URL": amqp_url, "MONGO_URL": mongo_url, "WARREN_KEY": key}
    with _lock:
        block = _Block(names, private=private)
        _blocks.append(block)
        _set(names)
    try:
        yield
    finally:
        with _lock:
            position = _blocks.index(block)
            del _blocks[position]
            if position < len(_blocks):  # a later one still counts, and then sets what this one would have
                _blocks[position].before = block.before
            else:
                _set(block.before)


def _set(names: _Names) -> None:
    for key, value in names.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def named_by_others() -> dict[str, str]:
    """Return the environment without what private blocks name: their servers are nobody's to build on."""
    with _lock:
        found: _Names = dict(os.environ)
        for block in reversed(_blocks):
            # Where one of them was changed meanwhile, both are somebody's choice.
            if block.private and all(found.get(key) == value for key, value in block.names.items()):
                found |= block.before
    return {key: value for key, value in found.items() if value is not None}
