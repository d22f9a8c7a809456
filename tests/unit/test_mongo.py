"""The client of MongoDB, whatever its URL says: clouds that need options of their own, and what
none may weaken."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bson
import certifi
import dns.resolver
import pymongo
import pytest
from bson.datetime_ms import DatetimeMS
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from warren.errors import InputError, StoreError
from warren.settings import Settings
from warren.storage import mongo
from warren.storage.store import Store
from warren.storage.study_document import StudyKey

DOCUMENTDB = (
    "mongodb://ann:s3cret@tuning.cluster-x.eu-west-1.docdb.amazonaws.com:27017/tuning?tls=true"
    f"&tlsCAFile={certifi.where()}&replicaSet=rs0&readPreference=secondaryPreferred&retryWrites=false"
)
COSMOS = (
    "mongodb://ann:czNjcmV0==@ann.mongo.cosmos.azure.com:10255/tuning?ssl=true&replicaSet=globaldb"
    "&retrywrites=false&maxIdleTimeMS=120000&appName=@ann@"
)
ATLAS = "mongodb+srv://ann:s3cret@cluster0.abcde.mongodb.net/tuning?retryWrites=true&w=majority&appName=Cluster0"
WEAK = [
    "w=0",
    "w=1&journal=false",
    "w=2&wtimeoutMS=1",
    "readConcernLevel=available",
    "readConcernLevel=local",
    "readConcernLevel=snapshot",
    "readPreference=secondary&maxStalenessSeconds=120",
    "readPreference=nearest&readPreferenceTags=dc:ny&readPreferenceTags=",
    "readPreference=secondaryPreferred",
]


@pytest.fixture(autouse=True)
def nothing_told_yet() -> Iterator[None]:
    mongo._warn_of_options.cache_clear()
    yield
    mongo._warn_of_options.cache_clear()


def opened(url: str) -> Store:
    return Store(Settings(MONGO_URL=url, WARREN_CONNECT_SECONDS=0.05))


def parts_of(store: Store) -> list[Any]:
    """Every collection through which the store reads and writes."""
    blobs = (store.datasets, store.models, store.tables._files)
    return [
        store._studies,
        store.trials._collection,
        store.trials._raw,
        store.unfinished._collection,
        *(part for one in blobs for part in (one._files, one._pieces, one._bucket._files, one._bucket._chunks)),
    ]


@pytest.mark.parametrize("url", [DOCUMENTDB, COSMOS, ATLAS], ids=["DocumentDB", "Cosmos DB", "Atlas"])
def test_urls_that_clouds_hand_out_are_taken_without_a_word(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(url).close()
    assert not caplog.records


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("uuidRep=standard&fooBar=s3cret", "uuidrep, foobar"),
        ("maxPoolSize=many", "maxpoolsize"),
        ("w=1&w=majority", "w"),
        ("waitQueueMultiple=2&j=true", "j"),
        ("compressors=snappy", ""),
    ],
)
def test_options_that_the_driver_only_warns_of_are_logged_once(
    query: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        opened(f"mongodb://ann:s3cret@127.0.0.1:1/tuning?{query}").close()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ([f"MongoDB's driver ignores or changes options of MONGO_URL: {named}"] if named else [])
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("query", ["tls=True", "ssl=yes", "tls=true&tls=false", "authMechanism=NOPE", "authSource="])
def test_an_option_that_secures_the_connection_is_never_left_out(query: str) -> None:
    with pytest.raises(InputError, match="perhaps because of an option after its"):
        opened(f"mongodb://ann:s3cret@127.0.0.1:1/tuning?{query}")


@pytest.mark.parametrize("query", WEAK)
def test_no_option_weakens_what_is_promised(query: str) -> None:
    with closing(opened(f"mongodb://127.0.0.1:1/tuning?{query}")) as store:
        for part in parts_of(store):
            assert part.write_concern.document == {"w": "majority", "j": True}
            assert part.read_preference == pymongo.ReadPreference.PRIMARY
            assert part.read_concern.level == "majority"


@pytest.mark.parametrize("level", ["majority", "linearizable"])
def test_an_option_may_strengthen_what_is_promised(level: str) -> None:
    with closing(opened(f"mongodb://127.0.0.1:1/tuning?readConcernLevel={level}")) as store:
        assert {part.read_concern.level for part in parts_of(store)} == {level}


@pytest.mark.parametrize(("query", "name"), [("", "warren"), ("?appName=@ann@", "@ann@")])
def test_the_client_has_the_url_s_name_or_ours(query: str, name: str) -> None:
    with closing(opened(f"mongodb://ann:pw@127.0.0.1:1/tuning{query}")) as store:
        assert store._client.options.pool_options.appname == name


@pytest.mark.parametrize(
    "fault",
    [dns.resolver.LifetimeTimeout, dns.resolver.NoNameservers, dns.resolver.NXDOMAIN, dns.resolver.NoAnswer],
)
def test_a_name_server_that_is_away_is_a_server_that_is_away(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(*_: object, **__: object) -> None:
        raise fault.__new__(fault)  # their own texts need the query

    monkeypatch.setattr(fault, "__str__", lambda _: "no answer")
    monkeypatch.setattr(dns.resolver, "resolve", no_answer)
    with closing(opened("mongodb+srv://ann:s3cret@cluster.example.com/tuning")) as store:
        assert (
            store.why_not()
            == "no MongoDB that takes writes answers at mongodb+srv://ann:***@cluster.example.com/tuning"
        )
        for call in (store.ping, store.prepare, lambda: store.study("x", StudyKey)):
            with pytest.raises(
                StoreError, match=r"ann:\*\*\*@cluster.example.com/tuning: the name server does not know"
            ):
                call()
        with pytest.raises(StoreError, match="can't look into bucket"):
            store.datasets.has("x")


def refusal(text: str, code: int) -> OperationFailure:
    return OperationFailure(text, code, {"ok": 0.0, "errmsg": text, "code": code})


@pytest.mark.parametrize(
    ("exc", "url", "said"),
    [
        # As MongoDB and as SecantusDB word it.
        (
            refusal('not authorized on tuning to execute command { insert: "trials", ordered: false }', 13),
            "mongodb://ann:s3cret@db/tuning",
            r"refused an operation to this user \(insert\): grant the user the role readWrite",
        ),
        (
            refusal("not authorized on tuning to execute command (action: createIndex)", 13),
            "mongodb://ann:s3cret@db/tuning",
            r"refused an operation to this user \(createIndex\): grant the user the role readWrite",
        ),
        (
            refusal("user is not allowed to do action [insert] on [warren.storage.trials]", 13),
            "mongodb://ann:s3cret@db/tuning",
            "refused an operation to this user: grant the user the role readWrite",
        ),
        (refusal("command find requires authentication", 13), "mongodb://db/tuning", "asks for a user and a password"),
        (refusal("Authentication failed.", 18), "mongodb://ann:s3cret@db/tuning", "refused the user or password"),
        (refusal("bad auth : authentication failed", 8000), "mongodb://ann:s3cret@db/tuning", "refused the user or"),
        # The second question of a client whose password is wrong.
        (
            ServerSelectionTimeoutError("authentication failed, full error: {'code': 18}, Timeout: 3.0s"),
            "mongodb://ann:s3cret@db/tuning",
            "refused the user or password",
        ),
        (ServerSelectionTimeoutError("db:27017: timed out"), "mongodb://ann:s3cret@db/tuning", "can't be reached"),
    ],
)
def test_a_refusal_says_what_is_refused(exc: pymongo.errors.PyMongoError, url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        raise mongo.explain(Settings(MONGO_URL=url), exc)
    assert "s3cret" not in str(caught.value)


def test_a_file_of_authorities_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=rf"tlscafile names the file 'global-bundle.pem', .*working folder: {tmp_path}"
    ):
        opened("mongodb://ann:s3cret@db/tuning?tls=true&tlsCAFile=global-bundle.pem")


def test_dates_and_texts_that_python_can_not_hold_break_no_read() -> None:
    database = mongo.open_database(Settings(MONGO_URL="mongodb://localhost:1/tuning"))
    wrong = bson.encode({"date": DatetimeMS(2**60), "text": "ab", "good": 1}).replace(b"ab\x00", b"\xff\xfe\x00")
    found = bson.decode(wrong, database.codec_options)
    database.client.close()
    assert (found["date"], found["text"], found["good"]) == (DatetimeMS(2**60), "\ufffd\ufffd", 1)
