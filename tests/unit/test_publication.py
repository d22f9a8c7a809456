"""One publication of a study: which trials, in which chunks, under which generation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any, cast

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from producer import publication
from producer.publication import chunks, default_chunks, publish_missing
from producer.space import Space
from tuning.errors import BrokerError, InputError, StudyError
from tuning.messages import Chunk, Objective, decode_chunk
from tuning.settings import Settings
from tuning.store import Document, Store

OBJECTIVE = Objective(
    estimator={"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}},
    dataset="a" * 64,
    splits="b" * 64,
    n_splits=2,
    scorers={"score": None},
    refit="score",
    error_score=math.nan,
    return_train_score=False,
)


class Memory:
    """As much of a store as a publication needs."""

    def __init__(self, space: Space, finished: Iterable[int] = (), **fields: Any) -> None:
        self.finished = set(finished)
        self.calls: list[str] = []
        self.document: Document | None = {
            "_id": "study",
            "state": "PAUSED",
            "generation": 3,
            "publications": 3,
            "progress": {"complete": len(self.finished), "failed": 0},
            "n_trials": space.size,
            "n_chunks": None,
            "estimator_in_grid": False,
            "trial_timeout": None,
            **fields,
        }

    def update_study(self, study_id: str, update: Document, only_if: Document | None = None) -> Document | None:
        if self.document is None:
            return None
        self.calls.append("update")
        self.document["publications"] += update.get("$inc", {}).get("publications", 0)
        self.document["generation"] = max(self.document["generation"], update.get("$max", {}).get("generation", 0))
        self.document.update(update["$set"])
        return dict(self.document)

    def finished_numbers(self, study_id: str) -> set[int]:
        self.calls.append("finished")
        return self.finished

    def recount(self, study_id: str) -> Document | None:
        self.calls.append("recount")
        return self.document


def publish_to(memory: Memory, space: Space, monkeypatch: pytest.MonkeyPatch) -> list[Chunk]:
    """Publish what is missing; return what went to the queue."""
    published: list[Chunk] = []

    def publish(settings: Settings, queue: str, bodies: Iterable[bytes]) -> int:
        assert queue == "chunks"
        memory.calls.append("publish")
        published.extend(decode_chunk(body) for body in bodies)
        return len(published)

    monkeypatch.setattr(publication, "publish", publish)
    count = publish_missing(cast("Store", memory), Settings(), "study", OBJECTIVE, space)
    assert count == sum(len(chunk.trials) for chunk in published)
    return published


def numbers(published: Iterable[Chunk]) -> list[list[int]]:
    return [[trial.number for trial in chunk.trials] for chunk in published]


# ------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 1000, 1999, 2001, 26_160, 10**9])
def test_without_a_number_of_chunks_they_are_many_and_small(n: int) -> None:
    found = default_chunks(n)
    assert min(n, publication._FEWEST_CHUNKS) <= found <= n
    assert math.ceil(n / found) <= publication._TRIALS_A_CHUNK
    # No more of them than one of the two wants.
    assert found in {min(n, publication._FEWEST_CHUNKS), math.ceil(n / publication._TRIALS_A_CHUNK)}


def test_chunks_have_the_sizes_numbers_and_parameters_asked_for() -> None:
    space = Space({"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]})
    made = list(chunks("study", 7, OBJECTIVE, space, range(6), [3, 2, 1], trial_timeout=2.5))
    assert numbers(made) == [[0, 1, 2], [3, 4], [5]]
    assert [chunk.index for chunk in made] == [0, 1, 2]
    assert {(chunk.study_id, chunk.generation, chunk.trial_timeout) for chunk in made} == {("study", 7, 2.5)}
    assert all(chunk.objective == OBJECTIVE for chunk in made)
    assert [trial.params for chunk in made for trial in chunk.trials] == list(space)
    assert all(trial.estimator is None for chunk in made for trial in chunk.trials)


def test_chunks_may_have_gaps() -> None:
    space = Space({"max_depth": range(10)})
    made = list(chunks("study", 1, OBJECTIVE, space, [1, 4, 5, 9], [2, 2]))
    assert numbers(made) == [[1, 4], [5, 9]]
    assert [trial.params["max_depth"] for chunk in made for trial in chunk.trials] == [1, 4, 5, 9]


def test_an_estimator_in_the_grid_is_the_trial_s_own() -> None:
    space = Space([{"estimator": [LogisticRegression(C=2.0), DecisionTreeClassifier()], "random_state": [0]}])
    [chunk] = chunks("study", 1, OBJECTIVE, space, range(2), [2], estimator_in_grid=True)
    assert [trial.params for trial in chunk.trials] == [{"random_state": 0}] * 2
    assert [trial.estimator for trial in chunk.trials] == [
        {"__estimator__": "sklearn.linear_model.LogisticRegression", "params": {"C": 2.0}},
        {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}},
    ]


def test_a_grid_beside_it_may_use_the_study_s_estimator() -> None:
    space = Space([{"estimator": [LogisticRegression()]}, {"max_depth": [2]}])
    [chunk] = chunks("study", 1, OBJECTIVE, space, range(2), [2], estimator_in_grid=True)
    assert [trial.estimator is None for trial in chunk.trials] == [False, True]


def test_a_parameter_named_estimator_stays_one_where_it_is_none_of_the_trial_s() -> None:
    space = Space({"estimator": [LogisticRegression()]})
    [chunk] = chunks("study", 1, OBJECTIVE, space, range(1), [1])
    assert chunk.trials[0].estimator is None
    assert list(chunk.trials[0].params) == ["estimator"]


def test_chunks_are_cut_lazily() -> None:
    space = Space({"a": range(10**6), "b": range(10**6)})
    made = chunks("study", 1, OBJECTIVE, space, range(space.size), iter(lambda: 5, None))
    assert numbers(islice(made, 2)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_value_that_can_not_travel_is_refused_at_the_first_chunk() -> None:
    with pytest.raises(InputError, match="a callable can't travel"):
        next(chunks("study", 1, OBJECTIVE, Space({"criterion": [print]}), range(1), [1]))


# -------------------------------------------------------------------- publications


def test_all_of_a_new_study_is_published_under_a_new_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(1, 251)})
    memory = Memory(space)
    published = publish_to(memory, space, monkeypatch)
    assert [number for chunk in numbers(published) for number in chunk] == list(range(250))
    assert len(published) == default_chunks(250)
    assert {chunk.generation for chunk in published} == {4}
    assert memory.document is not None
    assert (memory.document["generation"], memory.document["state"]) == (4, "RUNNING")
    assert memory.document["submitted_at"] is not None
    # The study's generation follows once everything is in the queue: until then the old messages count.
    assert memory.calls == ["update", "finished", "publish", "update"]


def test_only_what_has_no_result_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(10)})
    memory = Memory(space, finished=[0, 3, 4, 9], n_chunks=4)
    published = publish_to(memory, space, monkeypatch)
    assert numbers(published) == [[1, 2], [5, 6], [7], [8]]
    assert memory.calls == ["update", "finished", "recount", "publish", "update"]


def test_a_complete_study_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(3)})
    memory = Memory(space, finished=range(3))
    assert publish_to(memory, space, monkeypatch) == []
    assert memory.calls == ["update", "finished", "recount", "update"]


@pytest.mark.parametrize(("n_chunks", "expected"), [(1, 1), (3, 3), (7, 7), (8, 7), (1000, 7)])
def test_the_number_of_chunks_is_honoured(n_chunks: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(7)})
    published = publish_to(Memory(space, n_chunks=n_chunks), space, monkeypatch)
    sizes = [len(chunk.trials) for chunk in published]
    assert len(sizes) == expected
    assert max(sizes) - min(sizes) <= 1


def test_how_a_study_is_run_is_in_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"estimator": [LogisticRegression()]})
    [chunk] = publish_to(Memory(space, trial_timeout=9.0, estimator_in_grid=True), space, monkeypatch)
    assert chunk.trial_timeout == 9.0
    assert chunk.trials[0].estimator is not None


def test_a_broker_that_is_away_leaves_the_study_unsubmitted(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(3)})
    memory = Memory(space)

    def publish(settings: Settings, queue: str, bodies: Iterable[bytes]) -> int:
        raise BrokerError("away")

    monkeypatch.setattr(publication, "publish", publish)
    with pytest.raises(BrokerError):
        publish_missing(cast("Store", memory), Settings(), "study", OBJECTIVE, space)
    assert memory.document is not None
    assert memory.document["submitted_at"] is None
    assert memory.document["generation"] == 3, "what is in the queue stays wanted"


def test_a_study_that_is_gone_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(3)})
    memory = Memory(space)
    memory.document = None
    with pytest.raises(StudyError, match="study 'study' is not in the database any more"):
        publish_to(memory, space, monkeypatch)


def test_a_message_too_large_for_a_broker_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"criterion": ["x" * 2_000_000], "max_depth": range(10)})
    with pytest.raises(InputError, match="a chunk of 10 trials is a message of 19 MiB.*use a larger n_chunks"):
        publish_to(Memory(space, n_chunks=1), space, monkeypatch)
    assert len(publish_to(Memory(space, n_chunks=2), space, monkeypatch)) == 2
