"""The database as a storage for Optuna: read only, and read live."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from polling import until
from study_documents import document
from submitting import TWELVE, own_fields, stored, submit_trees

from producer import Study
from producer.views.optuna import storage as module
from producer.views.optuna.read_only import ReadOnlyError
from producer.views.optuna.storage import LiveStorage
from warren.errors import StoreError
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store
from warren.storage.study_document import StudyDocument


@pytest.fixture
def live(store: Store, monkeypatch: pytest.MonkeyPatch) -> LiveStorage:
    """A storage that looks at each question."""
    monkeypatch.setattr(module, "_FRESH_SECONDS", -1.0)
    return LiveStorage(store)


def result(study: Study, number: int, ended: datetime | None = None, **fields: Any) -> Document:
    return {
        "_id": trial_id(study.id, number),
        "study_id": study.id,
        "number": number,
        "estimator": "DecisionTreeClassifier",
        "state": "COMPLETE",
        "error": None,
        "mean_test_score": number / 100,
        "fit_seconds": 0.25,
        "score_seconds": 0.25,
        "saved_seconds": 0.0,
        "estimated_seconds": 0.1,
        "worker": "w-1",
        "started_at": now(),
        "finished_at": ended or now(),
        **own_fields(study, number),
        **fields,
    }


def write(store: Store, *documents: Document) -> None:
    """Write results as a worker would."""
    assert len(store.trials.insert([pack(one) for one in documents])) == len(documents)
    store.add_progress(documents[0]["study_id"], documents)


def own_numbers(trials: Iterable[optuna.trial.FrozenTrial]) -> list[int]:
    return [trial.user_attrs["number"] for trial in trials]


def id_in(live: LiveStorage, study: Study) -> int:
    return live.get_study_id_from_name(study.id)


def test_every_search_is_a_study_the_oldest_first(store: Store, live: LiveStorage) -> None:
    assert live.get_all_studies() == []
    first, second = submit_trees(name="first"), submit_trees(name="second")
    store.create_study(StudyDocument.read(document("inner", model_of=first.id)))
    listed = live.get_all_studies()
    assert [study.study_name for study in listed] == [first.id, second.id]
    noted = listed[0].user_attrs
    assert (noted["name"], noted["state"], noted["trials"], noted["complete"]) == ("first", "RUNNING", 12, 0)
    assert listed[0].system_attrs["study:metric_names"] == ["score"]
    assert [summary.study_name for summary in optuna.get_all_study_summaries(live)] == [first.id, second.id]
    with pytest.raises(KeyError, match="no study 'third'"):
        live.get_study_id_from_name("third")
    with pytest.raises(KeyError, match="no study with the id 7"):
        live.get_all_trials(7)


def test_an_id_stays_from_start_to_start_and_goes_with_the_study(store: Store, live: LiveStorage) -> None:
    # Within a second, mostly.
    studies = [submit_trees(name=f"number {number}") for number in range(5)]
    before = [id_in(live, study) for study in studies]
    assert before == sorted(set(before))
    assert before == [id_in(LiveStorage(store), study) for study in studies]
    write(store, result(studies[0], 1))
    assert own_numbers(live.get_all_trials(before[0])) == [1]

    studies[0].delete()
    with pytest.raises(KeyError):
        live.get_all_trials(before[0])
    again = submit_trees(name="number 0")
    assert again.id == studies[0].id
    assert id_in(live, again) not in before
    assert live.get_all_trials(id_in(live, again)) == []


def test_trials_are_numbered_as_they_end_and_keep_their_numbers(store: Store, live: LiveStorage) -> None:
    study = submit_trees()
    start = now()
    write(store, *(result(study, number, start + timedelta(seconds=place)) for place, number in enumerate((7, 3, 9))))
    found = id_in(live, study)
    assert own_numbers(live.get_all_trials(found)) == [7, 3, 9]
    # One that ended before others were seen, but came later, is behind them: a page has
    # these already.
    write(store, result(study, 5, start + timedelta(seconds=1)), result(study, 0))
    trials = live.get_all_trials(found)
    assert own_numbers(trials[:3]) == [7, 3, 9]
    assert sorted(own_numbers(trials[3:])) == [0, 5]
    assert [trial.number for trial in trials] == list(range(5))
    assert [trial.params for trial in trials] == [TWELVE[number] for number in own_numbers(trials)]
    assert live.get_trial(trials[4]._trial_id) == trials[4]
    assert live.get_best_trial(found).user_attrs["number"] == 9
    loaded = optuna.load_study(study_name=study.id, storage=live)
    assert (loaded.best_value, loaded.best_params) == (0.09, TWELVE[9])


def test_a_look_reads_only_what_is_new(store: Store, live: LiveStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study = submit_trees()
    write(store, *(result(study, number) for number in range(6)))
    found = id_in(live, study)
    assert len(live.get_all_trials(found)) == 6

    def never(*_: object, **__: object) -> Iterator[Document]:
        raise AssertionError("everything was read again")

    monkeypatch.setattr(store.trials, "of", never)
    monkeypatch.setattr(store.trials, "finished_numbers", never)
    with monkeypatch.context() as patch:
        patch.setattr(store.trials, "ended_since", never)
        assert len(live.get_all_trials(found)) == 6
    write(store, result(study, 8))
    assert own_numbers(live.get_all_trials(found))[6:] == [8]


def test_a_result_that_comes_hours_late_is_found(store: Store, live: LiveStorage) -> None:
    study = submit_trees()
    write(store, result(study, 1))
    found = id_in(live, study)
    assert own_numbers(live.get_all_trials(found)) == [1]
    write(store, result(study, 2, now() - timedelta(hours=3)))
    assert own_numbers(live.get_all_trials(found)) == [1, 2]


def test_a_retried_trial_keeps_its_row_until_its_next_result(store: Store, live: LiveStorage) -> None:
    study = submit_trees()
    write(store, result(study, 4, state="FAILED", error="fold 0: no"), result(study, 6))
    found = id_in(live, study)
    assert [trial.state for trial in live.get_all_trials(found)] == [TrialState.FAIL, TrialState.COMPLETE]
    assert live.get_all_trials(found)[0].user_attrs["error"] == "fold 0: no"
    assert live.view(found).replaced == 0

    study.retry_failed()
    assert [trial.state for trial in live.get_all_trials(found)] == [TrialState.FAIL, TrialState.COMPLETE]
    # Late as well, so that only a comparison of all numbers finds it.
    write(store, result(study, 4, now() - timedelta(hours=3)))
    trials = live.get_all_trials(found)
    assert own_numbers(trials) == [4, 6]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert live.view(found).replaced == 1


def test_what_a_page_shows_besides_is_summed_up(store: Store, live: LiveStorage) -> None:
    study = submit_trees(grid=[{"max_depth": [1, 2]}, {"max_depth": [3], "min_samples_leaf": [4]}])
    write(store, result(study, 0))
    found = id_in(live, study)
    assert list(live.view(found).in_all) == ["max_depth"]
    write(store, result(study, 2), result(study, 1, state="FAILED", error="fold 0: no"))
    view = live.view(found)
    assert (list(view.in_all), list(view.in_any)) == (["max_depth"], ["max_depth", "min_samples_leaf"])
    assert view.attributes["number"]
    assert not view.attributes["error"]
    assert view.best is not None
    assert view.best.value == 0.02


def test_studies_beyond_the_room_are_read_again(store: Store, live: LiveStorage) -> None:
    live._most_trials = 10
    first, second = submit_trees(name="first"), submit_trees(name="second")
    for study in (first, second):
        write(store, *(result(study, number) for number in range(8)))
    one, other = id_in(live, first), id_in(live, second)
    assert len(live.get_all_trials(one)) == len(live.get_all_trials(other)) == 8
    assert [len(seen.trials) for seen in live._list()] == [0, 8]
    assert len(live.get_all_trials(one)) == 8


def test_threads_see_each_trial_once(store: Store, live: LiveStorage) -> None:
    study = submit_trees()
    write(store, *(result(study, number) for number in range(6)))
    found = id_in(live, study)
    seen: list[list[int]] = []

    def look() -> None:
        seen.extend(own_numbers(live.get_all_trials(found)) for _ in range(10))

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    write(store, *(result(study, number) for number in range(6, 12)))
    for thread in threads:
        thread.join(30)
    last = own_numbers(live.get_all_trials(found))
    assert sorted(last) == list(range(12))
    assert len(seen) == 60
    assert all(one == last[: len(one)] for one in seen)


def test_a_database_that_is_away_is_waited_for_once_and_not_in_turn(
    store: Store, live: LiveStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, waiting, said = [], [], []

    class Turns:
        """A lock that knows who came."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            waiting.append(1)
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    def away(_: object) -> list[Document]:
        asked.append(1)
        until(lambda: len(waiting) == 4)
        raise StoreError("MongoDB is away")

    def look() -> None:
        with pytest.raises(StoreError) as seen:
            live.get_all_studies()
        said.append(str(seen.value))

    with monkeypatch.context() as patch:
        patch.setattr(live, "_lock", Turns())
        patch.setattr(store, "studies", away)
        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert (said, len(asked)) == (["MongoDB is away"] * 4, 1)
    assert live.get_all_studies() == []


def test_nothing_is_written(store: Store, live: LiveStorage) -> None:
    study = submit_trees()
    write(store, result(study, 0))
    before = pack(stored(store, study))
    found = id_in(live, study)
    for write_something in (
        lambda: live.delete_study(found),
        lambda: live.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "mine"),
        lambda: live.set_study_system_attr(found, "a", 1),
        lambda: live.create_new_trial(found),
        lambda: live.set_trial_state_values(0, TrialState.COMPLETE, [1.0]),
        lambda: optuna.load_study(study_name=study.id, storage=live).optimize(lambda _: 0.0, n_trials=1),
    ):
        with pytest.raises(ReadOnlyError, match="this storage is read only; control the study with the warren"):
            write_something()
    assert pack(stored(store, study)) == before
