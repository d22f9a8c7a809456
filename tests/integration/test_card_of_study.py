"""The card of a study on a real database: what it reads, what that costs, and what it says when
there is nothing."""

from __future__ import annotations

import time
from datetime import timedelta
from html import unescape

import pytest
from IPython.lib.pretty import pretty
from proxy import Proxy
from submitting import submit_trees
from viewed import result, write, write_some

from producer.views.card import card_html, card_text
from producer.views.card.snapshot import read
from warren.settings import Settings
from warren.storage.documents import now
from warren.storage.store import Store


def test_the_pace_comes_from_the_last_results_of_a_study_not_followed(store: Store) -> None:
    study = submit_trees()
    write_some(store, study, range(5), every=2.0, seconds=4.0)
    store.update_study(study.id, {"$set": {"submitted_at": now() - timedelta(hours=1)}})
    found = read(study)
    assert found.tempo is not None
    assert found.tempo.rate == pytest.approx(0.5)
    assert found.tempo.work_rate == pytest.approx(2.0)
    assert found.tempo.workers == 2
    assert found.seconds_left is not None


def test_what_ended_before_a_study_was_resumed_tells_nothing_of_its_pace(store: Store) -> None:
    study = submit_trees()
    write_some(store, study, range(5))
    study.pause()
    assert read(study).tempo is None
    store.update_study(study.id, {"$set": {"state": "RUNNING", "submitted_at": now() + timedelta(seconds=1)}})
    found = read(study)
    assert found.tempo is None
    assert not found.has_new_result
    assert "no result yet" in card_html(study)


def test_the_best_trial_has_its_parameters_and_failures_their_reasons(store: Store) -> None:
    study = submit_trees(grid={"criterion": ["<gini>"], "max_depth": [1, 2, 3, 4, 5, 6]})
    end = now()
    write(store, study, [result(study, 3, end)])
    write(store, study, [result(study, number, end, state="FAILED") for number in (4, 5)])
    said = card_html(study)
    assert "&lt;gini&gt;" in said
    assert "ValueError: no" in said
    assert "study.retry_failed()" in said
    assert "trial 3" in card_text(study)


def test_reasons_are_read_of_the_first_failures_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.views.card.snapshot._MOST_FAILURES", 2)
    study = submit_trees()
    end = now()
    # All at the end of the grid, where a look at the first numbers finds none.
    write(store, study, [result(study, number, end, state="FAILED") for number in range(8, 12)])
    found = read(study)
    assert (found.failures_read, found.reasons[0].example) == (2, 8)


def test_a_deleted_study_says_so(store: Store) -> None:
    study = submit_trees()
    study.delete()
    for said in (card_html(study), card_text(study), study._repr_html_(), str(study)):
        assert "deleted" in said
        assert study.id in said


def test_a_terminal_shows_the_card_of_a_study_and_a_line_of_each_in_a_list(store: Store) -> None:
    study = submit_trees()
    assert pretty(study).startswith("╭─ DecisionTreeClassifier · running")
    assert pretty([study]).startswith(f"[<Study {study.id}: RUNNING, 0/12 trials")


def test_a_study_whose_database_is_away_says_so(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy.to(servers.mongo_url) as way:
        monkeypatch.setenv("MONGO_URL", way.url(servers.mongo_url))
        study = submit_trees()
        for module in ("producer.study", "producer.views.card"):
            monkeypatch.setattr(f"{module}._LOOK_SECONDS", 0.2)
        way.leave()
        began = time.monotonic()
        assert "out of reach" in repr(study)
        assert time.monotonic() - began < 5, "WARREN_CONNECT_SECONDS is twice that"
        for said in (card_html(study), card_text(study)):
            assert "out of reach" in said
            assert "can't be reached" in " ".join(unescape(said).replace("│", " ").split())


def test_what_ended_since_comes_in_order_and_no_more_than_asked_for(store: Store, servers: Settings) -> None:
    study = submit_trees()
    write_some(store, study, range(10), every=10.0)
    since = now() - timedelta(seconds=45)
    fields = ("number", "finished_at")
    assert [one["number"] for one in store.trials.ended_since(study.id, since, 0, fields)] == [5, 6, 7, 8, 9]
    assert [one["number"] for one in store.trials.ended_since(study.id, since, 2, fields)] == [5, 6]
    assert [one["number"] for one in store.trials.ended_since(study.id, since, 2, fields, newest=True)] == [8, 9]


def test_failed_trials_come_by_number_and_no_more_than_asked_for(store: Store) -> None:
    study = submit_trees()
    end = now()
    write(store, study, [result(study, number, end, state="FAILED") for number in (7, 1, 5)])
    write(store, study, [result(study, 2, end)])
    fields = ("number", "error")
    assert [one["number"] for one in store.trials.failed(study.id, 12, 9, fields)] == [1, 5, 7]
    assert [one["number"] for one in store.trials.failed(study.id, 7, 9, fields)] == [1, 5]
    assert [one["number"] for one in store.trials.failed(study.id, 12, 1, fields)] == [1]
