"""Which workers had a trial before it ended elsewhere."""

from __future__ import annotations

from dataclasses import replace

from contract.documents import STUDY
from contract.test_unfinished import fold

from warren.storage.documents import now
from warren.storage.store import Store


def test_whoever_takes_a_trial_over_finds_where_it_was_left(store: Store) -> None:
    left = {"worker": "worker-0", "at": now()}
    store.unfinished.keep_folds([replace(fold(3, which), **left) for which in (0, 1)])
    notes = store.unfinished.of(STUDY, [3])
    store.unfinished.take_over(STUDY, notes)
    assert notes[3]["interrupted"] == [left]
    assert store.unfinished.of(STUDY, [3]) == notes, "the next one finds it too"


def test_a_trial_that_is_let_go_of_with_nothing_done_is_noted(store: Store) -> None:
    at = now()
    store.unfinished.abandon(STUDY, [3, 4], "worker-0", at)
    notes = store.unfinished.of(STUDY, [3, 4])
    store.unfinished.take_over(STUDY, notes)
    for number in (3, 4):
        assert notes[number]["interrupted"] == [{"worker": "worker-0", "at": at}]
        assert (notes[number]["study_id"], notes[number]["number"]) == (STUDY, number)


def test_every_interruption_is_kept_once(store: Store) -> None:
    for worker in ("worker-0", "worker-1"):
        store.unfinished.abandon(STUDY, [3], worker, now())
        for _ in range(2):
            notes = store.unfinished.of(STUDY, [3])
            store.unfinished.take_over(STUDY, notes)
    assert [one["worker"] for one in notes[3]["interrupted"]] == ["worker-0", "worker-1"]


def test_nothing_is_noted_of_trials_that_nobody_had(store: Store) -> None:
    store.unfinished.keep_folds([fold(3, 0)])
    notes = store.unfinished.of(STUDY, [3])
    store.unfinished.take_over(STUDY, notes)
    store.unfinished.take_over(STUDY, {})
    assert "interrupted" not in notes[3]
    assert store.unfinished.of(STUDY, [3]) == notes
