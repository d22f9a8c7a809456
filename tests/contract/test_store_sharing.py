"""What the store says of studies that share a lane or data."""

from __future__ import annotations

import time

import pytest
from contract.documents import DIGEST, STUDY, study
from proxy import Proxy

from warren.errors import StoreError
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyKey


def test_a_lane_is_shared_with_another_study_that_runs_in_it(store: Store) -> None:
    store.create_study(study(queue="chunks"))
    assert not store.queue_shared(STUDY, "chunks"), "it is its own"
    store.create_study(study(study_id="paused", queue="chunks", state="PAUSED"))
    store.create_study(study(study_id="elsewhere", queue="chunks.2"))
    store.create_study(study(study_id="of-an-earlier-version"))
    assert not store.queue_shared(STUDY, "chunks")
    store.create_study(study(study_id="next-to-it", queue="chunks"))
    assert store.queue_shared(STUDY, "chunks")


@pytest.mark.parametrize("field", ["dataset", "splits", "validation"])
@pytest.mark.parametrize("state", ["RUNNING", "PAUSED", "CANCELLED", "COMPLETE"])
def test_a_blob_is_referenced_by_any_study_that_points_to_it(store: Store, field: str, state: str) -> None:
    store.create_study(study(study_id="another", objective={"dataset": "a" * 64, "splits": "b" * 64}))
    assert not store.referenced(DIGEST)
    store.create_study(study(state=state, objective={field: DIGEST}))
    assert store.referenced(DIGEST)
    store.delete_study(STUDY)
    assert not store.referenced(DIGEST)


def test_a_call_ends_in_time_though_the_network_is_cut(servers: Settings) -> None:
    with Proxy.to(servers.mongo_url) as proxy:
        store = Store(Settings(MONGO_URL=proxy.url(servers.mongo_url)))
        store.ping()
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(StoreError, match="can't be reached"), store.within(0.5):
            store.study(STUDY, StudyKey)
        assert time.monotonic() - began < 3
        proxy.mend()
        assert store.study(STUDY, StudyKey) is None
        store.close()
