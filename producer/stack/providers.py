"""What the ways to a server share: where it may live, and how one of several ways is chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from producer.stack.cleanup import HOLD
from producer.stack.process import GRACE_SECONDS, Guarded
from warren.errors import StackError


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a stack lives, and what its parts need to know of it."""

    folder: Path
    """Holds everything that the stack writes."""
    temporary: bool
    """The folder goes with the stack: nothing in it needs a careful end."""
    log: Callable[[str], None]
    """Takes a line on what is being done."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when the start-up is to be given up."""

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.folder / "logs"

    @property
    def hold(self) -> Path:
        """The file that every server locks while it uses the folder."""
        return self.folder / HOLD

    @property
    def grace(self) -> float:
        """Seconds that a server gets to end in good order."""
        return 0.0 if self.temporary else GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Server:
    """A broker or a database that answers."""

    url: str
    """Where. Holds the password, if there is one."""
    how: str
    """Which one it is, for people."""
    guarded: Guarded | None = None
    """Its process; None for a server that was there before, which stays."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to a server."""

    name: str
    """As an error tells it."""
    keeps: str
    """The kind of data that it leaves behind: another kind of server can't read it."""
    start: Callable[[Site], Server]
    """Brings it up, or raises a StackError that says why it can't be had."""


def first_that_serves(what: str, home: Path, ways: Sequence[Way], site: Site, remedy: str) -> Server:
    """Bring a server up in the first way that works.

    Parameters
    ----------
    what : str
        What is wanted, for errors.
    home : Path
        Folder of the server. Its file ``kept-by`` names the kind of server whose data it holds, and
        from then on only ways of that kind are tried: another one would start empty, and the results
        would seem lost.
    ways : sequence of Way
        In the order in which they are tried.
    site : Site
        Where.
    remedy : str
        What the user can do when none works.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        Nothing serves; the text lists every way and why it failed.
    """
    home.mkdir(parents=True, exist_ok=True)
    marker = home / "kept-by"
    kept_by = marker.read_text().strip() if marker.exists() else None
    reasons = []
    for way in ways:
        if kept_by not in {None, way.keeps}:
            reasons.append(f"  - {way.name}: not tried, {home} holds data of {kept_by}; another data_dir starts anew")
            continue
        try:
            server = way.start(site)
        except StackError as exc:
            if site.cancelled.is_set():
                raise
            reasons.append(f"  - {way.name}: " + str(exc).replace("\n", "\n      "))
        else:
            marker.write_text(way.keeps + "\n")
            return server
    raise StackError(f"no {what} could be brought up. Tried in this order:\n" + "\n".join(reasons) + f"\n{remedy}")
