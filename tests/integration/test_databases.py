"""Two databases on one broker, and a chunk whose study is nowhere: nothing is trained for another,
nothing vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from servers import Urls, on_database, settings_of, with_option
from sklearn.dummy import DummyClassifier
from study_documents import document

from producer import submit
from warren.broker import channel, database_of
from warren.queues import CHUNKS_QUEUE, LANES
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyDocument

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 2


def test_a_database_keeps_one_id_of_its_own(store: Store, servers: Settings, private_servers: Urls) -> None:
    twin = Store(servers)
    assert len({store.identity(), store.identity(), twin.identity()}) == 1
    twin.close()
    with pytest.MonkeyPatch.context() as patch:
        other = Store(settings_of(private_servers, patch))
    assert other.identity() != store.identity()
    other.close()


def test_a_copy_under_another_name_is_another_database(store: Store, servers: Settings) -> None:
    own = store.identity()
    copied = Store(servers.model_copy(update={"mongo_url": on_database(servers.mongo_url, f"{store.database}-copy")}))
    copied._identity._collection.insert_many(list(store._identity._collection.find()))
    assert copied.identity() != own
    copied.close()


def test_every_read_goes_to_the_primary_whatever_the_url_says(servers: Settings) -> None:
    url = with_option(servers.mongo_url, "readPreference=secondaryPreferred")
    store = Store(servers.model_copy(update={"mongo_url": url}))
    collections = [store._studies, store._deleted, store.trials._collection, store.unfinished._collection]
    collections += [store.datasets._files, store.models._pieces]
    assert {one.read_preference.mongos_mode for one in collections} == {"primary"}
    assert {one.read_concern.level for one in collections} == {"majority"}
    store.close()


@pytest.mark.parametrize(
    ("change", "unwanted"),
    [
        ({}, False),
        ({"state": "CANCELLED"}, True),
        ({"state": "PAUSED"}, True),
        ({"state": "COMPLETE"}, True),
        ({"generation": 2}, True),
    ],
)
def test_what_is_surely_unwanted_the_study_says(store: Store, change: dict[str, object], unwanted: bool) -> None:
    store.create_study(StudyDocument.read(document(**{"generation": 1} | change)))
    assert store.surely_unwanted("study", 1) is unwanted


def test_a_deleted_study_is_surely_unwanted_and_one_that_is_lost_is_not(store: Store) -> None:
    study = StudyDocument.read(document(generation=1))
    assert not store.surely_unwanted("study", 1)
    store.create_study(study)
    store.delete_study("study")
    assert store.surely_unwanted("study", 1)
    store.create_study(study)
    assert not store.surely_unwanted("study", 1), "submitted again"


def test_every_message_names_its_database(servers: Settings, store: Store) -> None:
    submit(DummyClassifier(), {"random_state": [1, 2]}, X, Y, cv=2, n_chunks=2)
    with channel(servers) as opened:
        found = [opened.basic_get(CHUNKS_QUEUE, auto_ack=True)[1] for _ in range(2)]
    assert [database_of(properties) for properties in found] == [(store.identity(), store.url)] * 2
    assert ":***@" in store.url or "@" not in store.url
    assert sum(_waiting(servers, lane) for lane in LANES) == 0


def _waiting(settings: Settings, queue: str) -> int:
    with channel(settings) as opened:
        return int(opened.queue_declare(queue, passive=True).method.message_count)
