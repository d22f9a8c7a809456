"""The host names that our HTTP servers answer to, and the pages whose requests they answer.

A foreign page in a browser on this machine may let its own host name lead here (DNS rebinding), and
could then read our pages as if they were its own. Its requests still have that name in ``Host``,
and, if the browser sends it, in ``Origin``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from warren.errors import short

# Names for this machine on itself.
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """The names of a server.

    Parameters
    ----------
    listens_on : str
        The name or address on which it was told to listen.
    more : iterable of str, default=()
        Further names that lead to it: a proxy's, a Service's.
    option : str
        The option or setting for further names, for the error text.
    """

    def __init__(self, listens_on: str, more: Iterable[str] = (), *, option: str) -> None:
        self._more = frozenset(name.strip("[]").lower() for name in more)
        self._names = _LOOPBACK | {listens_on.strip("[]").lower()} | self._more
        # A server for other machines is addressed by any of its IP addresses. That is safe: DNS
        # does not decide where an address leads.
        self._any_address = not is_loopback(listens_on)
        self._option = option

    def refusal(self, host: str | None, origin: str | None = None) -> str | None:
        """Return why a request is not answered, or None.

        Parameters
        ----------
        host : str or None
            Its header ``Host``, which every browser sends; None without one.
        origin : str or None
            Its header ``Origin``: a browser sends it from another page, with requests that may
            change something, and to open a WebSocket.

        Returns
        -------
        str or None
            A sentence for the answer.
        """
        if host is not None and not self._answers_to(host):
            return (
                f"this server answers only to names that it knows, and {short(host)} is unknown: use localhost on "
                f"its own machine, or add the name with {self._option}"
            )
        if origin is not None and not self._is_own(origin, host):
            return f"a page of {short(origin)} may not use this server"
        return None

    def _answers_to(self, host: str) -> bool:
        name = _name_of(host)
        return name in self._names or (self._any_address and is_address(name))

    def _is_own(self, origin: str, host: str | None) -> bool:
        try:
            where = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        # The port must be the same too: another port on this machine is another server.
        return bool(where) and (where == (host or "").lower() or _name_of(where) in self._more)


def _name_of(host: str) -> str | None:
    """Return the name in ``name:port``; None if the text has another form."""
    if "@" in host:
        return None  # a user name before the host
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and parts.netloc == host else None


def is_address(name: str | None) -> bool:
    """Return whether this is an IP address."""
    try:
        ip_address(name or "")
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a server on this host can be reached only from this machine."""
    name = host.strip("[]").lower()
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)
