"""What the dashboard answers a page, over HTTP."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from polling import until
from proxy import Proxy
from submitting import TWELVE, finish, stored, submit_trees

from producer.views.dashboard import api
from producer.views.dashboard import server as module
from producer.views.dashboard.server import Dashboard
from producer.views.optuna import storage
from warren.errors import InputError
from warren.settings import Settings, load_settings
from warren.storage.documents import pack
from warren.storage.store import Store


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)


Ask = Callable[..., Answer]


@pytest.fixture
def way(servers: Settings) -> Iterator[Proxy]:
    """The way to the test's database."""
    with Proxy.to(servers.mongo_url) as proxy:
        yield proxy


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Store], Ask]]:
    """Serve a store's studies; return what asks."""
    monkeypatch.setattr(storage, "_FRESH_SECONDS", -1.0)
    running: list[tuple[Dashboard, threading.Thread]] = []

    def start(store: Store) -> Ask:
        served = Dashboard(store, port=0)
        thread = threading.Thread(target=served.run)
        thread.start()
        running.append((served, thread))
        address = served.url.removeprefix("http://")

        def ask(path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
            connection = HTTPConnection(address, timeout=60)
            try:
                connection.request(method, path, body, {"Accept-Encoding": "gzip", **headers})
                answer = connection.getresponse()
                named = {name.lower(): value for name, value in answer.getheaders()}
                return Answer(answer.status, named, answer.read())
            finally:
                connection.close()

        return ask

    yield start
    for served, thread in running:
        served.stop()
        thread.join(30)
        assert not thread.is_alive()


def in_one_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort parameters and the choices of each: Optuna's dashboard puts both together in sets."""
    for entry in entries:
        if "choices" in (distribution := entry.get("distribution", {})):
            distribution["choices"].sort(key=str)
    return sorted(entries, key=str)


def test_a_page_gets_what_optuna_dashboard_itself_would_say(
    store: Store, serve: Callable[[Store], Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_PAGE", 4)
    study = submit_trees()
    finish(store, study, [7, 3, 0, 1, 2, 5, 6])
    finish(store, study, [9], state="FAILED")
    ask = serve(store)
    [listed] = ask("/api/studies").content["study_summaries"]
    assert (listed["study_name"], listed["directions"]) == (study.id, ["maximize"])
    path = f"/api/studies/{listed['study_id']}"

    # The way of the other application, whose words a page knows.
    own = module.create_app(module.PageStorage(store))
    said: list[bytes] = []
    for after in (0, 1, 4, 6, 8, 99):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": f"after={after}"}
        said = own(environ, lambda *_: None)
        expected = json.loads(b"".join(said))
        answers = [ask(f"{path}?after={after}") for _ in range(2)]
        for answer in answers:
            found = answer.content
            for name in ("union_user_attrs", "union_search_space", "intersection_search_space"):
                assert in_one_order(found.pop(name)) == in_one_order(expected[name])
            assert found == {name: value for name, value in expected.items() if name in found}
            assert len(found["trials"]) == max(0, 8 - after)
            assert answer.headers["content-encoding"] == "gzip"
    assert ask(path).content["trials"] == ask(f"{path}?after=0").content["trials"]
    plain = ask(path, **{"Accept-Encoding": ""})
    assert "content-encoding" not in plain.headers
    assert plain.content["best_trials"][0]["number"] == 0

    importances = ask(f"{path}/param_importances").content["param_importances"]
    assert {one["name"] for one in importances[0]} == set(TWELVE[0])


def test_what_is_not_there_is_said_so(store: Store, serve: Callable[[Store], Ask]) -> None:
    ask = serve(store)
    for path in ("/api/studies/7", "/api/studies/7/param_importances"):
        answer = ask(path)
        assert (answer.status, answer.content["reason"]) == (
            404,
            "there is no study 7: it was deleted, or submitted again",
        )
    assert ask("/api/studies/7?after=two").status == 400
    assert ask("/").status == 302
    page = ask("/dashboard/studies/7", **{"Accept-Encoding": ""})
    assert (page.status, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert b"<script" in page.body


def test_another_name_that_leads_to_this_machine_is_no_way_in(store: Store, serve: Callable[[Store], Ask]) -> None:
    ask = serve(store)
    for host in ("localhost:8080", "127.0.0.1", "LOCALHOST", "[::1]:80"):
        assert ask("/api/studies", Host=host).status == 200
    for host in ("evil.example", "localhost.evil.example:8080", ""):
        answer = ask("/api/studies", Host=host)
        assert answer.status == 403
        assert "--allow-host" in answer.content["reason"]
    assert ask("/api/studies", Origin="http://evil.example").status == 403


def test_every_write_is_refused_and_nothing_changes(
    store: Store, serve: Callable[[Store], Ask], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    study = submit_trees()
    finish(store, study, [0])
    before = pack(stored(store, study))
    ask = serve(store)
    number = ask("/api/studies").content["study_summaries"][0]["study_id"]
    writes = [
        ("POST", "/api/studies", {"study_name": "mine", "directions": ["minimize"]}),
        ("POST", f"/api/studies/{number}/rename", {"study_name": "other"}),
        ("DELETE", f"/api/studies/{number}", {}),
        ("PUT", f"/api/studies/{number}/note", {"version": 2, "body": "x"}),
        ("PUT", f"/api/studies/{number}/0/note", {"version": 1, "body": "x"}),
        ("POST", f"/api/studies/{number}/preference", {"mode": "ChooseWorst", "candidates": [0], "clicked": 0}),
        ("POST", "/api/trials/0/tell", {"state": "COMPLETE", "values": [1.0]}),
        ("POST", "/api/trials/0/user-attrs", {"user_attrs": {"a": 1}}),
        ("PATCH", f"/api/studies/{number}", {}),
    ]
    for method, path, body in writes:
        answer = ask(path, method, json.dumps(body), **{"Content-Type": "application/json"})
        assert answer.status == 403, (method, path)
        assert answer.content["reason"].startswith(
            "this dashboard is read only: control the study with the warren command"
        )
    assert pack(stored(store, study)) == before
    assert ask("/api/studies").content["study_summaries"][0]["study_name"] == study.id
    assert not caplog.records
    assert "Traceback" not in capfd.readouterr().err


def test_a_database_that_goes_away_is_said_on_the_page_and_comes_back(
    servers: Settings,
    way: Proxy,
    serve: Callable[[Store], Ask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MONGO_URL", way.url(servers.mongo_url))
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "1")
    monkeypatch.setattr(storage, "_LIST_SECONDS", 1.0)
    store = Store(load_settings())
    store.prepare()
    study = submit_trees()
    finish(store, study, [0, 1])
    ask = serve(store)
    path = f"/api/studies/{ask('/api/studies').content['study_summaries'][0]['study_id']}"
    assert len(ask(path).content["trials"]) == 2

    way.leave()
    for asked in (path, "/api/studies", f"{path}/param_importances"):
        answer = ask(asked)
        assert answer.status == 503
        assert "can't be reached" in answer.content["reason"]
    way.come_back()
    until(lambda: ask(path).status == 200, 30, "the page works again")
    finish(store, study, [2])
    assert len(ask(f"{path}?after=2").content["trials"]) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Traceback" not in capfd.readouterr().err
    store.close()


def test_a_port_that_is_taken_or_an_address_of_another_machine_is_an_error(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=f"port {port} of 127.0.0.1 is in use: stop the program that uses it, or pass anot"
        ):
            Dashboard(store, port=port)
    with pytest.raises(InputError, match=r"can't listen on port 8080 of '203.0.113.7' \(.*\): pass an address of this"):
        Dashboard(store, host="203.0.113.7")
