"""What the store says when its server is away or refuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from contract.documents import DIGEST, STUDY, study, trial, writes

from warren.errors import InputError, StoreError
from warren.settings import Settings
from warren.storage.documents import pack
from warren.storage.store import Store
from warren.storage.study_document import StudyKey

CALLS: dict[str, Callable[[Store], object]] = {
    "ping": lambda store: store.ping(),
    "prepare": lambda store: store.prepare(),
    "create_study": lambda store: store.create_study(study()),
    "update_study": lambda store: store.update_study(STUDY, {"$set": {"state": "PAUSED"}}),
    "study": lambda store: store.study(STUDY, StudyKey),
    "studies": lambda store: store.studies(StudyKey),
    "insert": lambda store: store.trials.insert([pack(trial(0))]),
    "finished_numbers": lambda store: store.trials.finished_numbers(STUDY),
    "finished_numbers among": lambda store: store.trials.finished_numbers(STUDY, [1]),
    "trials of": lambda store: list(store.trials.of(STUDY)),
    "best_trials": lambda store: store.trials.best(STUDY, 1),
    "delete_failed": lambda store: store.delete_failed(STUDY),
    "add_progress": lambda store: store.add_progress(STUDY, [trial(0)]),
    "recount": lambda store: store.recount(STUDY),
    "blob has": lambda store: store.datasets.has(DIGEST),
    "blob put": lambda store: store.datasets.put(DIGEST, writes(b"x"), {}),
    "blob get": lambda store: store.datasets.get(DIGEST),
    "blob delete": lambda store: store.datasets.delete(DIGEST, lambda: False),
    "queue_shared": lambda store: store.queue_shared(STUDY, "chunks"),
    "referenced": lambda store: store.referenced(DIGEST),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_away_is_one_error_from_every_call_and_soon(call: str) -> None:
    away = Store(Settings(MONGO_URL="mongodb://ann:secret@127.0.0.1:1/tuning", WARREN_CONNECT_SECONDS=0.2))
    began = time.monotonic()
    try:
        with pytest.raises(StoreError) as caught:
            CALLS[call](away)
    finally:
        away.close()
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_a_server_that_is_away_is_named_with_what_to_check() -> None:
    away = Store(Settings(MONGO_URL="mongodb://ann:secret@127.0.0.1:1/tuning", WARREN_CONNECT_SECONDS=0.2))
    with pytest.raises(
        StoreError, match=r"MongoDB at mongodb://ann:\*\*\*@127.0.0.1:1/tuning can't be reached .*MONGO_URL"
    ):
        away.ping()
    away.close()


def test_a_wrong_password_is_said_without_it(servers: Settings) -> None:
    server = urlsplit(servers.mongo_url).netloc.rpartition("@")[2]
    url = f"mongodb://ann:secret@{server}/tuning?authSource=admin"
    store = Store(Settings(MONGO_URL=url, WARREN_CONNECT_SECONDS=5))
    with pytest.raises(StoreError, match="refused the user or password: check MONGO_URL") as caught:
        store.ping()
    store.close()
    assert "secret" not in str(caught.value)
    assert f"ann:***@{server}/tuning" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://ann:secret@localhost:27017",
        "mongodb://ann:secret@localhost:27017/",
        "http://ann:secret@localhost/tuning",
        "mongodb://ann:secret@localhost:port/tuning",
        "mongodb://ann:sec@ret@localhost/tuning",
    ],
)
def test_a_url_that_names_no_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InputError, match=r"MONGO_URL .* can't be used.*[ :]write mongodb://") as caught:
        Store(Settings(MONGO_URL=url))
    assert "secret" not in str(caught.value)
    assert "sec@ret" not in str(caught.value)


def test_what_a_server_refuses_is_a_store_error(store: Store) -> None:
    store.create_study(study())
    with pytest.raises(StoreError, match="refused"):
        store.update_study(STUDY, {"$nonsense": {"a": 1}})
