"""``/healthz``, ``/readyz`` and ``/metrics`` over HTTP, for Kubernetes and Prometheus.

Small on purpose: GET and HEAD, three pages, one answer per connection. Of a request it uses only
the path, and the headers that show whether a web page in a browser sent it
(`warren.safety.http_hosts`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from warren.errors import InputError
from warren.safety.http_hosts import Hosts
from warren.settings import Settings
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics

logger = logging.getLogger(__name__)

# Seconds for a client to send its request and read the answer; after that the server closes the
# connection.
_CLIENT_SECONDS = 5.0
# Clients at a time: enough for two probes, two Prometheus servers, and people. Further connections
# are closed.
_MOST_CLIENTS = 16
# Seconds between two turns of the server's loop.
_TURN_SECONDS = 0.5


class _Pages(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: the connection ends with the answer."""

    server: HealthServer
    server_version = "warren"
    sys_version = ""
    timeout = _CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer with a page."""
        status, kind, body = self._page()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the standard library's names

    def _page(self) -> tuple[HTTPStatus, str, bytes]:
        if self.command not in {"GET", "HEAD"}:
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET and HEAD"})
        if why := self.server.hosts.refusal(self.headers["Host"], self.headers["Origin"]):
            return _json(HTTPStatus.FORBIDDEN, {"error": why})
        match self.path.partition("?")[0]:
            case "/healthz":
                return _verdict("alive", self.server.pulse.faults())
            case "/readyz":
                return _verdict("ready", self.server.pulse.missing(), self.server.pulse.notes())
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self.server.metrics.text()
        return _json(HTTPStatus.NOT_FOUND, {"error": "there are /healthz, /readyz and /metrics"})

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request at debug level."""
        logger.debug("a request to the health server", extra={"request": format % args})


def _json(status: HTTPStatus, content: dict[str, object]) -> tuple[HTTPStatus, str, bytes]:
    return status, "application/json", json.dumps(content).encode() + b"\n"


def _verdict(word: str, reasons: dict[str, str], notes: dict[str, str] | None = None) -> tuple[HTTPStatus, str, bytes]:
    more: dict[str, object] = {"notes": notes} if notes else {}
    if reasons:
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {word: False, "reasons": reasons} | more)
    return _json(HTTPStatus.OK, {word: True} | more)


class HealthServer(ThreadingTCPServer):
    """Serves a worker's health on a daemon thread.

    Parameters
    ----------
    settings : Settings
        Host and port.
    pulse : Pulse
        Tells whether the worker lives and is ready.
    metrics : Metrics
        The numbers for Prometheus.

    Raises
    ------
    InputError
        It can't listen there, for example because the port is in use.
    """

    allow_reuse_address = True
    request_queue_size = _MOST_CLIENTS
    daemon_threads = True
    # Threads of clients end with the process.
    block_on_close = False

    def __init__(self, settings: Settings, pulse: Pulse, metrics: Metrics) -> None:
        self.pulse = pulse
        self.metrics = metrics
        self.hosts = Hosts(settings.http_host, settings.http_names, option="WARREN_HTTP_NAMES")
        # When each client connected, by its socket.
        self._clients: dict[socket.socket, float] = {}
        host, port = settings.http_host, settings.http_port or 0
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]  # IPv4 or IPv6
            super().__init__((host, port), _Pages)
        except OSError as exc:
            reason = "the port is in use" if exc.errno == errno.EADDRINUSE else exc.strerror or str(exc)
            raise InputError(
                f"WARREN_HTTP_HOST={host} WARREN_HTTP_PORT={port}: can't listen there: {reason}; "
                "choose another, or port 0 for any free one"
            ) from exc

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Start serving on a thread."""
        threading.Thread(target=self.serve_forever, args=(_TURN_SECONDS,), name="health", daemon=True).start()
        logger.info("serving /healthz, /readyz and /metrics", extra={"host": self.server_address[0], "port": self.port})

    def stop(self) -> None:
        """Stop serving, and free the port."""
        self.shutdown()
        self.server_close()

    # The standard library calls the methods below.

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Refuse a client if there are too many."""
        return len(self._clients) < _MOST_CLIENTS

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a client on a separate thread."""
        self._clients[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close the connections of clients that are too slow, for example byte by byte."""
        latest = time.monotonic() - _CLIENT_SECONDS
        for client, began in list(self._clients.items()):
            if began < latest:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Log an error of a request: the client's or ours."""
        if isinstance(sys.exc_info()[1], OSError):
            logger.debug("a client of the health server went away", exc_info=True)
        else:
            logger.exception("the health server could not answer")
