"""optuna-dashboard over the database, read only, served to a browser on this machine."""

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

# Requests at once: a page asks for several things, and a picture of 26,160 trials takes seconds.
_THREADS = 8
# Bytes from which an answer is packed; a trial has 1,600, and a fifteenth of that packed.
_PACK_FROM = 1_000
_READ_ONLY = "this dashboard reads only: use warren or a notebook to steer a study"
_STUDY = re.compile(r"/api/studies/(\d+)(/param_importances)?/*")


class PageStorage(LiveStorage):
    """As the page needs it: a database that is away is said in its own words."""

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return question(*args, **kwargs)
        except StoreError as exc:
            raise HTTPError(503, str(exc)) from exc


def application(storage: LiveStorage, hosts: Hosts) -> WSGIApplication:
    """Return the dashboard as a WSGI application.

    Requests that would change something are refused; so is what the storage can't read while the database is away.

    Parameters
    ----------
    storage : LiveStorage
        What it shows.
    hosts : Hosts
        Names that it answers to.
    """
    pages = Pages(storage)
    whole = create_app(storage)
    # It writes a stack for each request that fails.
    logging.getLogger("optuna_dashboard").addFilter(_first_line)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _send(environ, start_response, ("403 Forbidden", _reason(_READ_ONLY)))
        if asked := _STUDY.fullmatch(environ.get("PATH_INFO", "")):
            return _send(environ, start_response, _answer(pages, environ, int(asked[1]), importances=bool(asked[2])))
        return whole(environ, start_response)  # type: ignore[no-any-return]

    return guarded(serve, hosts)


def _answer(pages: Pages, environ: WSGIEnvironment, study_id: int, *, importances: bool) -> Answer:
    try:
        if importances:
            return "200 OK", pages.importances(study_id)
        after = int(parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0])
        return "200 OK", pages.study(study_id, max(after, 0))
    except KeyError:
        return "404 Not Found", _reason(f"there is no study {study_id}: it was deleted, or submitted anew")
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
        Whose studies it shows.
    host : str, default="127.0.0.1"
        Where it listens. Whoever reaches that reads every study: there is no password.
    port : int, default=8080
        0 is any that is free.
    names : iterable of str, default=()
        What it answers to besides `host` and the names of this machine.

    Attributes
    ----------
    url : str
        Its address for a browser, without a path.

    Raises
    ------
    InputError
        It can't listen there.
    """

    def __init__(self, store: Store, host: str = "127.0.0.1", port: int = 8080, names: Iterable[str] = ()) -> None:
        self._storage = PageStorage(store)
        # It says how many requests wait for a thread, which is not the user's to mend.
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
        """Return the address of a study's page; `KeyError` where there is no such study."""
        return f"{self.url}/dashboard/studies/{self._storage.get_study_id_from_name(study_id)}"

    def run(self) -> None:
        """Serve until Ctrl-C, or `stop`."""
        try:
            self._server.run()  # Ctrl-C ends it, and is not raised again
        finally:
            self._close()
            self._server.task_dispatcher.shutdown()

    def stop(self) -> None:
        """Let `run` end, from another thread."""
        self._server.trigger.pull_trigger(self._close)

    def _close(self) -> None:
        wasyncore.close_all(self._sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} of {host} is taken: stop what serves there, or pass another port") from exc
        raise InputError(f"can't listen at port {port} of {host!r} ({exc}): pass an address of this machine") from exc
