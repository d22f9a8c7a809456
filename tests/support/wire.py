"""A cable between a client and a server, for tests that cut it, or let it go dead without a word."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Passes bytes on between clients and a server, as long as nobody minds.

    Parameters
    ----------
    url : str
        The server's.

    Attributes
    ----------
    whole : bool
        While it is False, new connections end at once.
    dead : bool
        While it is True, what is sent arrives nowhere and nobody is told, as when a firewall forgets a connection.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self.whole = True
        self.dead = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The server's URL as it is reached over the cable."""
        user, _, _ = self._parts.netloc.rpartition("@")
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        return urlunsplit(self._parts._replace(netloc=f"{user}@{place}" if user else place))

    def cut(self) -> None:
        """End every connection, and let no new one through until `mend`."""
        self.whole = False
        self._hang_up()

    def mend(self) -> None:
        """Let new connections through; those from before stay as they are."""
        self.whole = True
        self.dead = False

    def close(self) -> None:
        """End everything."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _hang_up(self) -> None:
        while self._ends:
            with contextlib.suppress(OSError):
                self._ends.pop().shutdown(socket.SHUT_RDWR)  # its thread closes it

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                place = (self._parts.hostname or "127.0.0.1", self._parts.port or 5672)
                try:
                    server = socket.create_connection(place) if self.whole else None
                except OSError:
                    server = None
                if server is None:
                    client.close()
                    continue
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        was_dead = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                # Bytes are missing from then on: such a connection never comes back to life.
                was_dead = was_dead or self.dead
                if not was_dead:
                    target.sendall(data)
        with contextlib.suppress(OSError):
            if not was_dead:
                target.shutdown(socket.SHUT_RDWR)
        source.close()
