"""A network between two ends that a test can cut, mend, and tear down."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

# Bytes that are taken from one side at once.
_PIECE = 16 * 1024
# Seconds for a connection to the real server, and for a thread to end.
_CONNECT_SECONDS = 10.0
_JOIN_SECONDS = 10.0


class Proxy:
    """Listens on a port of its own, and forwards every connection to a server, byte for byte.

    ::

        with Proxy(host, port) as proxy:
            settings = ...  # with proxy.url(amqp_url)
            proxy.cut()     # both sides hear nothing more of each other, and don't know why
            proxy.mend()    # what was sent meanwhile arrives
            proxy.drop()    # every connection ends
            proxy.leave()   # and nothing listens any more, as if the server had ended
            proxy.come_back()

    Parameters
    ----------
    host : str
    port : int
        Of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._closing = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        # Connections that were made through it, and bytes that were forwarded.
        self.connections = 0
        self.carried = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._start(self._accept)

    @classmethod
    def to(cls, url: str) -> Proxy:
        """Return a proxy to the server of a URL."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(parts.hostname, parts.port)

    def url(self, url: str) -> str:
        """Return a URL of the server, led through this proxy."""
        host, port = self._target
        assert f"{host}:{port}" in url
        through = url.replace(f"{host}:{port}", f"127.0.0.1:{self.port}")
        if url.startswith("mongodb:"):
            # A server that is a replica set of its own names its real address, where the
            # driver would go.
            through += ("&" if "?" in through else "?") + "directConnection=true"
        return through

    def cut(self) -> None:
        """Forward nothing from now on; new connections are accepted, and silent too."""
        self._flows.clear()

    def mend(self) -> None:
        """Forward again, what was held back first."""
        self._flows.set()

    def drop(self) -> None:
        """End all connections that there are, on both sides."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """End all connections, and refuse new ones."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._server.close()
        self.drop()

    def come_back(self) -> None:
        """Listen again, at the same port."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept)

    def close(self) -> None:
        """End everything, and wait until it has ended."""
        self._closing = True
        self.mend()
        self.leave()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, self._known(client):
            self._flows.wait()
            with contextlib.suppress(OSError), socket.create_connection(self._target, _CONNECT_SECONDS) as server:
                server.settimeout(None)
                with self._known(server):
                    back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                    back.start()
                    self._pump(client, server)
                    back.join()

    @contextlib.contextmanager
    def _known(self, end: socket.socket):
        with self._lock:
            self._open.add(end)
        try:
            if self._closing:
                end.shutdown(socket.SHUT_RDWR)
            yield
        finally:
            with self._lock:
                self._open.discard(end)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                self._flows.wait()
                sink.sendall(data)
                self.carried += len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
