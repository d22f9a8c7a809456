"""Chooses how to start a server: tries ways such as a local program or Docker in order."""

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
    """The folder of a stack and the settings that its parts share."""

    folder: Path
    """Folder for everything that the stack writes."""
    temporary: bool
    """Whether the folder is removed at the end, so that servers need not end cleanly."""
    log: Callable[[str], None]
    """Called with a line about each step."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set to cancel the start-up."""

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
        """Seconds for a server to end cleanly."""
        return 0.0 if self.temporary else GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Server:
    """A broker or a database that answers."""

    url: str
    """Its URL, with the password if there is one."""
    how: str
    """Its description, for messages."""
    guarded: Guarded | None = None
    """Its process; None for a server that ran before, which is not stopped."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to start a server."""

    name: str
    """Its name in errors."""
    keeps: str
    """The kind of data that the server writes; another kind of server can't read it."""
    start: Callable[[Site], Server]
    """Starts the server, or raises a StackError that says why it can't."""


def first_that_serves(what: str, home: Path, ways: Sequence[Way], site: Site, remedy: str) -> Server:
    """Start a server in the first way that works.

    Parameters
    ----------
    what : str
        The kind of server, for errors.
    home : Path
        Folder of the server. Its file ``kept-by`` names the kind of server whose data it holds;
        then only ways of that kind are tried. Another kind would start empty, and the results would
        seem lost.
    ways : sequence of Way
        In the order in which they are tried.
    site : Site
        The stack's folder and settings.
    remedy : str
        What the user can do if none works.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        No way works; the message lists every way and why it failed.
    """
    home.mkdir(parents=True, exist_ok=True)
    marker = home / "kept-by"
    kept_by = marker.read_text().strip() if marker.exists() else None
    reasons = []
    for way in ways:
        if kept_by not in {None, way.keeps}:
            reasons.append(
                f"  - {way.name}: not tried, because {home} holds data of {kept_by}; another data_dir starts empty"
            )
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
    raise StackError(f"can't start {what}. Tried in this order:\n" + "\n".join(reasons) + f"\n{remedy}")
