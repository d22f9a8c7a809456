"""The web server of the dashboard: optuna-dashboard over the database, read only."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import re
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar
from urllib.parse import parse_qs

from bottle import HTTPError
from optuna_dashboard._app import create_app
from waitress import wasyncore
from waitress.server import create_server

from producer.views.dashboard.api import Pages
from producer.views.host_check import guarded
from producer.views.optuna.storage import LiveStorage
from warren.errors import InputError, StoreError
from warren.safety.http_hosts import Hosts
from warren.storage.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

P = ParamSpec("P")
T = TypeVar("T")
Answer: TypeAlias = tuple[str, bytes]

# Parallel requests: a page sends several, and a plot of 26,160 trials takes seconds.
_THREADS = 8
# Least bytes of a response to compress it; a trial has 1,600, and a fifteenth of that compressed.
_PACK_FROM = 1_000
_READ_ONLY = "this dashboard is read only: control the study with the warren command or a notebook"
_STUDY = re.compile(r"/api/studies/(\d+)(/param_importances)?/*")


class PageStorage(LiveStorage):
    """A storage that reports an unreachable database as HTTP status 503."""

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return question(*args, **kwargs)
        except StoreError as exc:
            raise HTTPError(503, str(exc)) from exc


def application(storage: LiveStorage, hosts: Hosts) -> WSGIApplication:
    """Return the dashboard as a WSGI application.

    It refuses requests that would change something.

    Parameters
    ----------
    storage : LiveStorage
        The studies to show.
    hosts : Hosts
        Host names that it answers to.
    """
    pages = Pages(storage)
    optuna_app = create_app(storage)
    # optuna-dashboard logs a traceback for each failed request: keep its first line.
    logging.getLogger("optuna_dashboard").addFilter(_first_line)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _send(environ, start_response, ("403 Forbidden", _reason(_READ_ONLY)))
        if asked := _STUDY.fullmatch(environ.get("PATH_INFO", "")):
            return _send(environ, start_response, _answer(pages, environ, int(asked[1]), importances=bool(asked[2])))
        return optuna_app(environ, start_response)  # type: ignore[no-any-return]

    return guarded(serve, hosts)


def _answer(pages: Pages, environ: WSGIEnvironment, study_id: int, *, importances: bool) -> Answer:
    try:
        if importances:
            return "200 OK", pages.importances(study_id)
        after = int(parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0])
        return "200 OK", pages.study(study_id, max(after, 0))
    except KeyError:
        return "404 Not Found", _reason(f"there is no study {study_id}: it was deleted, or submitted again")
    except HTTPError as exc:
        return exc.status_line, _reason(exc.body)
    except ValueError as exc:
        return "400 Bad Request", _reason(str(exc))


def _reason(text: str) -> bytes:
    return json.dumps({"reason": text}).encode()


def _send(environ: WSGIEnvironment, start_response: StartResponse, answer: Answer) -> list[bytes]:
    status, body = answer
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if len(body) >= _PACK_FROM and _takes_gzip(environ):
        body = gzip.compress(body, 1)
        headers.append(("Content-Encoding", "gzip"))
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _takes_gzip(environ: WSGIEnvironment) -> bool:
    return "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")


def _first_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


class Dashboard:
    """The dashboard at an address of this machine.

    Parameters
    ----------
    store : Store
        The studies to show.
    host : str, default="127.0.0.1"
        Address to listen on. There is no password: everyone who can reach it can read every study.
    port : int, default=8080
        0 chooses a free port.
    names : iterable of str, default=()
        Further host names to answer to, besides `host` and the names of this machine.

    Attributes
    ----------
    url : str
        Its address for a browser, without the path.

    Raises
    ------
    InputError
        It can't listen on this address.
    """

    def __init__(self, store: Store, host: str = "127.0.0.1", port: int = 8080, names: Iterable[str] = ()) -> None:
        self._storage = PageStorage(store)
        # waitress warns when requests wait for a thread, which the user can't change.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        listening = _listen(host, port)
        bound, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{bound}]' if ':' in bound else bound}:{port}"
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            application(self._storage, Hosts(host, names, option="--allow-host")),
            map=self._sockets,
            sockets=[listening],
            threads=_THREADS,
            ident="warren",
        )

    def address_of(self, study_id: str) -> str:
        """Return the address of a study's page; raise `KeyError` without such a study."""
        return f"{self.url}/dashboard/studies/{self._storage.get_study_id_from_name(study_id)}"

    def run(self) -> None:
        """Serve until Ctrl-C, or `stop`."""
        try:
            self._server.run()  # returns at Ctrl-C
        finally:
            self._close()
            self._server.task_dispatcher.shutdown()

    def stop(self) -> None:
        """End `run` from another thread."""
        self._server.trigger.pull_trigger(self._close)

    def _close(self) -> None:
        wasyncore.close_all(self._sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is in use: stop the program that uses it, or pass another port"
            ) from exc
        raise InputError(f"can't listen on port {port} of {host!r} ({exc}): pass an address of this machine") from exc
