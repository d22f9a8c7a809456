"""Which names an HTTP server of ours answers to, and whose pages it answers.

A page of somebody else's in a browser here may let a name of its own lead to this machine (DNS rebinding), and would
then read what is served here as if it were its own. Its requests still have that name in ``Host``, and, where a
browser says so, in ``Origin``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from warren.errors import short

# What people on this machine call it.
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """The names of a server.

    Parameters
    ----------
    listens_on : str
        The name or address that it was asked to listen on.
    more : iterable of str, default=()
        Further names that lead to it: a proxy's, a Service's.
    option : str
        What says which further names there are, for whoever is refused.
    """

    def __init__(self, listens_on: str, more: Iterable[str] = (), *, option: str) -> None:
        self._more = frozenset(name.strip("[]").lower() for name in more)
        self._names = _LOOPBACK | {listens_on.strip("[]").lower()} | self._more
        # Who listens for other machines is asked for at whatever addresses it has for them; no name server has a say in
        # where an address leads.
        self._any_address = not is_loopback(listens_on)
        self._option = option

    def refusal(self, host: str | None, origin: str | None = None) -> str | None:
        """Return why a request is not answered, or None.

        Parameters
        ----------
        host : str or None
            Its header ``Host``, which every browser sends; None where it has none.
        origin : str or None
            Its header ``Origin``: a browser sends it with what may change something, from another page, or opens a
            WebSocket.
        """
        if host is not None and not self._answers_to(host):
            return (
                f"this server answers to names that it knows, and {short(host)} is none: ask for it as localhost on "
                f"its own machine, or let {self._option} name it"
            )
        if origin is not None and not self._is_own(origin, host):
            return f"a page of {short(origin)} may not ask this server"
        return None

    def _answers_to(self, host: str) -> bool:
        name = _name_of(host)
        return name in self._names or (self._any_address and is_address(name))

    def _is_own(self, origin: str, host: str | None) -> bool:
        try:
            where = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        # The same port too: what serves beside us on this machine is another server.
        return bool(where) and (where == (host or "").lower() or _name_of(where) in self._more)


def _name_of(host: str) -> str | None:
    """Return the name of ``name:port``; None where it is neither that nor a name."""
    if "@" in host:
        return None  # a user's name before a host's
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and parts.netloc == host else None


def is_address(name: str | None) -> bool:
    """Say whether this is an IP address."""
    try:
        ip_address(name or "")
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Say whether what listens here is reached from this machine alone."""
    name = host.strip("[]").lower()
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)
