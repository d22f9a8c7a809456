"""One publication of a study: which trials, in which chunks, under which generation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

import pytest
from publishing import OBJECTIVE, Memory, numbers, publish_to
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import KerasModel
from producer.planning.chunk_sizes import Planned, cut
from producer.planning.cost import Shape
from producer.planning.plan import Plan
from producer.publishing import publication
from producer.publishing.outbox import Message
from producer.publishing.publication import chunks, publish_missing
from producer.space.space import Space
from warren.errors import InputError, StudyError
from warren.messages import Objective, decode_chunk, encode_chunk
from warren.queues import GPU_QUEUE
from warren.safety.signing import Keys, signed_chunk
from warren.settings import Settings
from warren.storage.store import Store


def plain(*cuts: Iterable[int]) -> list[list[Planned]]:
    """Numbers a chunk, each of half a second."""
    return [[(number, 0.5) for number in one] for one in cuts]


def boosted(**params: Any) -> Objective:
    return OBJECTIVE.model_copy(update={"estimator": {"__estimator__": "xgboost.XGBClassifier", "params": params}})


# ------------------------------------------------------------------------- chunks


def test_chunks_have_the_sizes_numbers_and_parameters_asked_for() -> None:
    space = Space({"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]})
    made = list(chunks("study", 7, OBJECTIVE, space, plain([0, 1, 2], [5, 3], [4]), trial_timeout=2.5))
    assert numbers(made) == [[0, 1, 2], [5, 3], [4]]
    assert [chunk.index for chunk in made] == [0, 1, 2]
    assert {(chunk.study_id, chunk.generation, chunk.trial_timeout) for chunk in made} == {("study", 7, 2.5)}
    assert all(chunk.objective == OBJECTIVE for chunk in made)
    assert [trial.params for chunk in made for trial in chunk.trials] == [
        space[number] for number in (0, 1, 2, 5, 3, 4)
    ]
    assert {trial.estimated_seconds for chunk in made for trial in chunk.trials} == {0.5}
    assert all(trial.estimator is None for chunk in made for trial in chunk.trials)


def test_an_estimator_in_the_grid_is_the_trial_s_own() -> None:
    space = Space([{"estimator": [LogisticRegression(C=2.0), DecisionTreeClassifier()], "random_state": [0]}])
    [chunk] = chunks("study", 1, OBJECTIVE, space, plain([0, 1]), estimator_in_grid=True)
    assert [trial.params for trial in chunk.trials] == [{"random_state": 0}] * 2
    assert [trial.estimator for trial in chunk.trials] == [
        {"__estimator__": "sklearn.linear_model.LogisticRegression", "params": {"C": 2.0}},
        {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}},
    ]


def test_a_grid_beside_it_may_use_the_study_s_estimator() -> None:
    space = Space([{"estimator": [LogisticRegression()]}, {"max_depth": [2]}])
    [chunk] = chunks("study", 1, OBJECTIVE, space, plain([0, 1]), estimator_in_grid=True)
    assert [trial.estimator is None for trial in chunk.trials] == [False, True]


def test_a_parameter_named_estimator_stays_a_parameter() -> None:
    space = Space({"estimator": [LogisticRegression()]})
    [chunk] = chunks("study", 1, OBJECTIVE, space, plain([0]))
    assert chunk.trials[0].estimator is None
    assert list(chunk.trials[0].params) == ["estimator"]


def test_chunks_are_cut_lazily() -> None:
    space = Space({"a": range(10**6), "b": range(10**6)})
    made = chunks("study", 1, OBJECTIVE, space, (plain(range(i, i + 5))[0] for i in range(0, space.size, 5)))
    assert numbers(islice(made, 2)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def peak_of_a_publication(n: int) -> int:
    """Return the bytes that planning, cutting and encoding `n` trials takes at most."""
    space = Space({"learning_rate": range(1, n // 20 + 1), "max_depth": [3, 6], "n_estimators": [*range(10, 110, 10)]})
    assert space.size == n
    objective = boosted()
    tracemalloc.start()
    try:
        planned = Plan(space, objective.estimator, Shape(4000, 20, 2), 5)
        made = chunks("study", 1, objective, space, cut(planned, None))
        assert sum(len(chunk.trials) for chunk in made if encode_chunk(chunk)) == n
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_trials() -> None:
    """A chunk of many trials takes up to three megabytes on its way; all trials would
    take hundreds."""
    assert peak_of_a_publication(100_000) < peak_of_a_publication(1_000) + 3_000_000


def test_a_value_that_can_not_travel_is_refused_at_the_first_chunk() -> None:
    with pytest.raises(InputError, match="a callable can't be sent"):
        next(chunks("study", 1, OBJECTIVE, Space({"criterion": [print]}), plain([0])))


# --------------------------------------------------------------------------- GPUs


def test_a_chunk_of_both_kinds_becomes_two_with_numbers_of_their_own() -> None:
    space = Space({"max_depth": [1, 2], "device": ["cpu", "cuda"]})
    made = list(chunks("study", 1, boosted(), space, plain([0, 1, 2], [3], [])))
    assert numbers(made) == [[2], [0, 1], [3]]
    assert [chunk.index for chunk in made] == [0, 1, 2]


@pytest.mark.parametrize(("n_chunks", "on_gpu", "others"), [(1, 1, 1), (2, 2, 1), (12, 6, 6)])
def test_trials_for_a_gpu_go_to_its_queue_and_others_to_the_lane(
    n_chunks: int, on_gpu: int, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space({"max_depth": [1, 2, 3], "device": ["cpu", "cuda"], "n_estimators": [10, 20]})
    memory = Memory(space, n_chunks=n_chunks)
    published = publish_to(memory, space, monkeypatch, boosted())
    queues = [message.queue for message in memory.messages]
    assert queues == [GPU_QUEUE] * on_gpu + [None] * others, "one cut at most is of both kinds"
    for chunk, queue in zip(published, queues, strict=True):
        assert {trial.params["device"] for trial in chunk.trials} == {"cuda" if queue else "cpu"}
    assert len({message.id for message in memory.messages}) == len(queues)
    assert memory.document is not None
    assert memory.document["gpu_trials"] == 6


def test_an_estimator_of_the_grid_says_where_its_trials_go(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [LogisticRegression(), XGBClassifier(device="cuda"), KerasModel(device="gpu"), KerasModel()]
    space = Space({"estimator": trees})
    memory = Memory(space, n_chunks=2, estimator_in_grid=True)
    published = publish_to(memory, space, monkeypatch)
    assert sorted(zip(map(sorted, numbers(published)), [one.queue for one in memory.messages], strict=True)) == [
        ([0, 3], None),
        ([1, 2], GPU_QUEUE),
    ]


def test_a_study_without_gpus_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": [1, 2]})
    memory = Memory(space)
    publish_to(memory, space, monkeypatch, boosted(device="cpu"))
    assert {message.queue for message in memory.messages} == {None}
    assert memory.document is not None
    assert memory.document["gpu_trials"] == 0


# -------------------------------------------------------------------- publications


def test_all_of_a_new_study_is_published_under_a_new_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(1, 251)})
    memory = Memory(space)
    published = publish_to(memory, space, monkeypatch)
    assert [number for chunk in numbers(published) for number in chunk] == list(range(250))
    assert {chunk.generation for chunk in published} == {4}
    assert memory.document is not None
    assert (memory.document["generation"], memory.document["state"]) == (4, "RUNNING")
    assert memory.document["submitted_at"] is not None
    # The study's generation follows once everything is in the queue: until then the old
    # messages count.
    assert memory.calls == ["study", "update", "finished", "studies", "publish", "update"]


def test_only_what_has_no_result_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(10)})
    memory = Memory(space, finished=[0, 3, 4, 9], n_chunks=4)
    published = publish_to(memory, space, monkeypatch)
    assert numbers(published) == [[1, 2], [5, 6], [7], [8]]
    assert memory.calls == ["study", "update", "finished", "recount", "studies", "publish", "update"]


def test_a_complete_study_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(3)})
    memory = Memory(space, finished=range(3))
    assert publish_to(memory, space, monkeypatch) == []
    assert memory.calls == ["study", "update", "finished", "recount", "studies", "update"]


@pytest.mark.parametrize(("n_chunks", "expected"), [(1, 1), (3, 3), (7, 7), (8, 7), (1000, 7)])
def test_the_number_of_chunks_is_honoured(n_chunks: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(7)})
    published = publish_to(Memory(space, n_chunks=n_chunks), space, monkeypatch)
    sizes = [len(chunk.trials) for chunk in published]
    assert len(sizes) == expected
    assert max(sizes) - min(sizes) <= 1


def test_how_a_study_is_run_is_in_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"estimator": [LogisticRegression()]})
    memory = Memory(space, trial_timeout=9.0, estimator_in_grid=True, share_fits=False)
    [chunk] = publish_to(memory, space, monkeypatch)
    assert (chunk.trial_timeout, chunk.share_fits) == (9.0, False)
    assert chunk.trials[0].estimator is not None


def test_trials_that_may_share_a_fit_travel_together(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"learning_rate": [0.1, 0.2], "n_estimators": [10, 30, 20]})
    published = publish_to(Memory(space, n_chunks=2), space, monkeypatch, boosted())
    assert numbers(published) == [[1, 2, 0], [4, 5, 3]]
    alone = publish_to(Memory(space, n_chunks=2, share_fits=False), space, monkeypatch, boosted())
    assert numbers(alone) == [[1, 4, 2], [5, 0, 3]], "longest first, and no unit"
    assert {chunk.share_fits for chunk in alone} == {False}


def test_what_is_published_is_summed_up_in_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space([{"estimator": [LogisticRegression(), DecisionTreeClassifier()], "random_state": range(4)}])
    memory = Memory(space, finished=[0, 1], estimator_in_grid=True)
    assert memory.document is not None
    counted = {"trials": 2, "estimated_seconds": 3.0, "fit_seconds": 6.0}
    memory.document["progress"]["estimators"] = {"LogisticRegression": counted}
    published = publish_to(memory, space, monkeypatch)
    planned = {
        name: sum(
            trial.estimated_seconds
            for chunk in published
            for trial in chunk.trials
            if trial.estimator and trial.estimator["__estimator__"].endswith(name)
        )
        for name in ("LogisticRegression", "DecisionTreeClassifier")
    }
    assert all(seconds > 0 for seconds in planned.values())
    nothing = {"trials": 0, "estimated_seconds": 0.0, "fit_seconds": 0.0}
    assert memory.document["estimates"] == {
        "LogisticRegression": {
            "correction": 1.0,
            "planned_seconds": pytest.approx(planned["LogisticRegression"]),
            "before": counted,
        },
        "DecisionTreeClassifier": {
            "correction": 1.0,
            "planned_seconds": pytest.approx(planned["DecisionTreeClassifier"]),
            "before": nothing,
        },
    }


def test_what_other_studies_measured_corrects_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"learning_rate": [0.1, 0.2]})
    plain_memory, informed = Memory(space), Memory(space)
    nothing = {"trials": 0, "estimated_seconds": 0.0, "fit_seconds": 0.0}
    informed.others = [
        {
            "_id": "earlier",
            "progress": {"estimators": {"XGBClassifier": {"trials": 9, "estimated_seconds": 2.0, "fit_seconds": 6.0}}},
            "estimates": {"XGBClassifier": {"correction": 1.0, "planned_seconds": 2.0, "before": nothing}},
        },
        {"_id": "older-than-estimates"},
    ]
    [before], [after] = (
        {trial.estimated_seconds for chunk in publish_to(one, space, monkeypatch, boosted()) for trial in chunk.trials}
        for one in (plain_memory, informed)
    )
    assert after == pytest.approx(3 * before, rel=1e-3)
    assert informed.document is not None
    assert informed.document["estimates"]["XGBClassifier"]["correction"] == 3.0


def test_a_message_says_where_it_belongs_and_what_it_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(7)})
    memory = Memory(space, n_chunks=3, priority=4)
    publish_to(memory, space, monkeypatch)
    assert [message.id for message in memory.messages] == ["study/4/0", "study/4/1", "study/4/2"]
    assert [message.n_trials for message in memory.messages] == [3, 2, 2]
    assert memory.properties["priority"] == 4


def test_a_study_of_an_earlier_version_has_the_lowest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(7)})
    memory = Memory(space)
    publish_to(memory, space, monkeypatch)
    assert memory.properties["priority"] == 1


def test_a_study_that_is_gone_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(3)})
    memory = Memory(space)
    memory.document = None
    with pytest.raises(StudyError, match="study 'study' is not in the database any more"):
        publish_to(memory, space, monkeypatch)


def test_a_message_too_large_for_a_broker_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"criterion": ["x" * 1_000_000], "max_depth": range(20)})
    with pytest.raises(InputError, match="a chunk of 20 trials is a message of 19 MiB.*use a larger n_chunks"):
        publish_to(Memory(space, n_chunks=1), space, monkeypatch)
    assert len(publish_to(Memory(space, n_chunks=2), space, monkeypatch)) == 2


FOUR = Space({"max_depth": [1, 2, 3, 4]})


def test_each_chunk_is_noted_before_the_broker_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(1, 1201)})
    memory = Memory(space, n_chunks=1200)
    notes: list[int] = []
    note = memory.note

    def counted(study_id: str, generation: int, bodies: Mapping[int, bytes]) -> None:
        assert (study_id, generation) == ("study", 4)
        notes.append(len(bodies))
        note(study_id, generation, bodies)

    def publish(settings: Settings, queue: str, messages: Iterable[Message], **_: Any) -> int:
        for index, message in enumerate(messages):
            assert memory.noted[index] == message.body
            assert decode_chunk(message.body).index == index
        return len(memory.noted)

    monkeypatch.setattr(memory, "note", counted)
    monkeypatch.setattr(publication, "publish", publish)
    assert publish_missing(cast("Store", memory), Settings(), "study", OBJECTIVE, space) == 1200
    # The first are on their way soon, and thousands take few questions.
    assert notes == [10, 20, 40, 80, 160, 320, 500, 70]
    assert memory.dropped_before == 4


def test_large_chunks_are_noted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_MOST_NOTED_BYTES", 1)
    memory = Memory(FOUR, n_chunks=4)
    assert len(publish_to(memory, FOUR, monkeypatch)) == len(memory.noted) == 4


@pytest.mark.parametrize("keys", [(), ("k" * 32,), ("k" * 32, "o" * 32)])
def test_each_chunk_is_signed_where_there_is_a_key(monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    memory = Memory(FOUR, n_chunks=3)
    publish_to(memory, FOUR, monkeypatch, settings=Settings(WARREN_KEY=",".join(keys)))
    first = Keys(keys[:1])
    for message in memory.messages:
        assert (message.signature is None) == (not keys)
        assert first.problem("warren/chunk", signed_chunk("a" * 32, message.body), message.signature) is None
