"""What is noted of the chunks that a study publishes, on a real server."""

from __future__ import annotations

from contract.documents import STUDY, read, study

from warren.messages import Address
from warren.storage.published_check import why_not
from warren.storage.store import Store


def test_a_body_that_was_noted_is_known_until_it_is_dropped(store: Store) -> None:
    store.published.note(STUDY, 1, {0: b"a", 1: b"b"})
    store.published.note(STUDY, 2, {0: b"c"})
    store.published.note(f"{STUDY}-2", 1, {0: b"a"})
    assert store.published.has(STUDY, 1, 0, b"a")
    assert not store.published.has(STUDY, 1, 0, b"b")
    assert not store.published.has(STUDY, 1, 7, b"a")
    store.published.drop(STUDY, before=2)
    assert not store.published.has(STUDY, 1, 0, b"a")
    assert store.published.has(STUDY, 2, 0, b"c")
    store.published.drop(STUDY)
    assert not store.published.has(STUDY, 2, 0, b"c")
    assert store.published.has(f"{STUDY}-2", 1, 0, b"a"), "another study's"


def test_a_note_that_is_made_again_changes_nothing_and_the_last_counts(store: Store) -> None:
    store.published.note(STUDY, 1, {0: b"a", 1: b"b"})
    store.published.note(STUDY, 1, {1: b"b", 2: b"c"})
    store.published.note(STUDY, 1, {0: b"new"})
    assert [store.published.has(STUDY, 1, index, body) for index, body in enumerate((b"new", b"b", b"c"))] == [True] * 3
    store.published.note(STUDY, 1, {})


def test_why_a_body_is_not_a_study_s_is_said(store: Store) -> None:
    def why(generation: int = 1, study_id: str = STUDY) -> str:
        return str(why_not(store, Address(study_id, generation, 0, [0]), b"{}"))

    assert "is not in database" in why()
    store.create_study(study(publications=2, noted=[2]))
    assert "published 2 time" in why(3)
    assert "differs from what was published" in why(2)
    assert "content is not the study's" in why(1), "of an earlier version, and no chunk at all"


def test_what_was_noted_goes_when_the_study_ends_or_is_deleted(store: Store) -> None:
    for end in (store.recount, store.delete_study):
        store.create_study(study(publications=1, n_trials=0))
        store.published.note(STUDY, 1, {0: b"a"})
        end(STUDY)
        assert not store.published.has(STUDY, 1, 0, b"a")


def test_a_study_submitted_again_takes_no_chunks_of_before(store: Store) -> None:
    store.create_study(study(publications=3, generation=3))
    store.delete_study(STUDY)
    store.create_study(study())
    found = read(store)
    assert (found.publications, found.generation) == (3, 4)
    assert store.surely_unwanted(STUDY, 3)
    assert not store.surely_unwanted(STUDY, 4)
    assert not store.surely_unwanted("never-there", 1)
