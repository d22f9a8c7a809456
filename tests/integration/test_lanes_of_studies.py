"""Studies that run at once lie in lanes of their own."""

from __future__ import annotations

import pytest
from submitting import drain, finish, numbers, stored, submit_trees

from producer import Study
from warren.broker import channel
from warren.queues import LANES
from warren.settings import Settings
from warren.storage.store import Store


def waiting(settings: Settings) -> dict[str, int]:
    """Messages in each lane that has some."""
    with channel(settings) as open_channel:
        found = {lane: open_channel.queue_declare(lane, passive=True).method.message_count for lane in LANES}
    return {lane: count for lane, count in found.items() if count}


def purge(settings: Settings, lane: str) -> None:
    with channel(settings) as open_channel:
        open_channel.queue_purge(lane)


def queue_of(store: Store, study: Study) -> str:
    return str(stored(store, study)["queue"])


def test_a_study_alone_is_in_the_first_lane(servers: Settings, store: Store) -> None:
    study = submit_trees(n_chunks=10)
    assert waiting(servers) == {"chunks": 10}
    assert queue_of(store, study) == "chunks"


def test_each_study_has_a_lane_until_there_are_more_than_lanes(servers: Settings, store: Store) -> None:
    studies = [submit_trees(name=f"study {number}", n_chunks=12 - number) for number in range(len(LANES))]
    assert [queue_of(store, study) for study in studies] == list(LANES)
    assert waiting(servers) == {lane: 12 - number for number, lane in enumerate(LANES)}
    one_more = submit_trees(name="one more")
    assert queue_of(store, one_more) == LANES[-1], "the one in which the fewest chunks wait"


def test_a_study_that_is_submitted_again_stays_in_its_lane(servers: Settings, store: Store) -> None:
    submit_trees(name="first", n_chunks=4)
    second = submit_trees(name="second", n_chunks=4)
    finish(store, second, [0, 1])
    assert second.resume() == 10
    assert submit_trees(name="second", n_chunks=3).id == second.id
    assert waiting(servers) == {"chunks": 4, "chunks.2": 4 + 4 + 3}
    assert queue_of(store, second) == "chunks.2"


def test_a_study_leaves_a_lane_that_another_runs_in_by_now(servers: Settings, store: Store) -> None:
    first = submit_trees(name="first", n_chunks=4)
    first.pause()
    purge(servers, "chunks")
    second = submit_trees(name="second", n_chunks=5)
    assert queue_of(store, second) == "chunks"
    first.resume()
    assert queue_of(store, first) == "chunks.2"
    assert waiting(servers) == {"chunks": 5, "chunks.2": 4}


@pytest.mark.parametrize("priority", [1, 9])
def test_every_message_has_the_priority(servers: Settings, store: Store, priority: int) -> None:
    study = submit_trees(priority=priority, n_chunks=3)
    assert stored(store, study)["priority"] == priority
    with channel(servers) as open_channel:
        found = [open_channel.basic_get("chunks", auto_ack=True)[1] for _ in range(3)]
    assert {one.priority for one in found} == {priority}
    assert {one.app_id for one in found} == {"warren"}
    assert [one.message_id for one in found] == [f"{study.id}/1/{index}" for index in range(3)]
    assert all(one.timestamp for one in found)


def test_the_priority_may_change_with_the_next_submission(servers: Settings, store: Store) -> None:
    study = submit_trees(priority=2)
    drain(servers)
    again = submit_trees(priority=5)
    assert again.id == study.id
    assert stored(store, study)["priority"] == 5
    assert numbers(drain(servers)) == list(range(12))


def test_trials_of_dead_letters_are_put_back(servers: Settings, store: Store) -> None:
    study = submit_trees(n_chunks=3)
    finish(store, study, range(8))
    drain(servers)
    letter = {"generation": 1, "index": 2, "numbers": [8, 9, 10, 11], "reason": "no such class"}
    store.update_study(study.id, {"$push": {"dead_letters": letter}, "$inc": {"progress.dead": 4}})
    said = f"trials 8, 9, 10 and 11 can't be evaluated by any worker: no such class. .* `warren retry {study.id}`"
    with pytest.raises(Exception, match=said):
        study.wait(timeout=5, progress=False)
    assert "trials 8, 9, 10 and 11" in repr(study)
    assert study.retry_failed() == 4
    assert numbers(drain(servers)) == [8, 9, 10, 11]
    assert study.status().dead_numbers == ()
