"""What studies are told of dead letters, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from contract.documents import STUDY, read, study
from pydantic_core import to_json

from warren.broker import DeadLetter
from warren.storage import dead_letters
from warren.storage.dead_letters import tell_studies
from warren.storage.store import Store


def letter(index: int, *, study_id: str = STUDY, generation: int = 1) -> DeadLetter:
    about = {"study_id": study_id, "generation": generation, "index": index, "trials": [{"number": index}]}
    return DeadLetter(body=to_json(about), database=None, reason="its queue was full", noted=False)


def test_a_study_counts_each_dead_letter_once_however_many_it_keeps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_MOST_LETTERS", 2)
    store.create_study(study(publications=1))
    store.published.note(STUDY, 1, {index: letter(index).body for index in range(5)})
    for _ in range(3):  # a follower reads them again and again
        tell_studies([letter(index) for index in range(5)], store)
    told = read(store)
    assert told.progress.dead == 5
    assert [one.index for one in told.dead_letters] == [0, 1]


def test_dead_letters_that_are_known_cost_a_look_at_their_study(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_study(study(publications=2))
    known = [letter(index, generation=2) for index in range(5)]
    store.published.note(STUDY, 2, {index: one.body for index, one in enumerate(known)})
    tell_studies(known, store)
    calls: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (calls.append(name), call(*given))[1]

    for name in ("study", "update_study"):
        monkeypatch.setattr(store, name, counted(name, getattr(store, name)))
    # No one waits for those of an earlier publication, nor for those of a study that is gone.
    tell_studies([*known, letter(9), letter(0, study_id="gone"), letter(1, study_id="gone")], store)
    assert calls == ["study", "study"]


def test_a_letter_that_the_study_did_not_publish_counts_for_nothing(store: Store) -> None:
    store.create_study(study(publications=1, noted=[1]))
    own = letter(0)
    store.published.note(STUDY, 1, {0: own.body})
    forged = [
        letter(1),
        replace(own, body=own.body + b" "),
        replace(own, body=own.body.replace(b'"number":0', b'"number":1')),
        replace(letter(0, generation=2), body=own.body.replace(b'"generation":1', b'"generation":2')),
    ]
    tell_studies(forged, store)
    assert read(store).progress.dead == 0
    tell_studies([*forged, own], store)
    told = read(store)
    assert told.progress.dead == 1
    assert [one.numbers for one in told.dead_letters] == [[0]]
