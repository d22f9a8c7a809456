"""A card that keeps itself fresh: when it looks, what it shows, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from polling import until
from test_card import AT, facts, status

from producer.views.card import live as module
from producer.views.card.live import Live
from producer.views.card.snapshot import Facts
from warren.errors import InputError, StoreError, study_gone

AWAY = StoreError("MongoDB is away")


class Handle:
    """What a notebook's cell shows."""

    display_id = "cell"

    def __init__(self, shown: Any) -> None:
        self.shown: list[str] = [shown]

    def update(self, shown: str) -> None:
        self.shown.append(shown)

    @property
    def last(self) -> str:
        return self.shown[-1]


class Notebook:
    """As much of IPython as a live card needs."""

    def __init__(self) -> None:
        self.execution_count = 1
        self.cell = "a"
        self.handles: list[Handle] = []

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": self.cell}}

    def HTML(self, shown: str) -> str:  # noqa: N802 - IPython's name
        return shown

    def display(self, shown: str, display_id: object) -> Handle:
        self.handles.append(Handle(shown))
        return self.handles[-1]


class FakeStudy:
    """A study of which looks find answer after answer, and the last one again and again."""

    id = "trees-0123"
    name = "trees"

    def __init__(self, *answers: Facts | Exception) -> None:
        self.answers = list(answers)
        self.looks = 0
        self.store = self
        self.trials = self

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        yield

    def ended_since(self, *_: object) -> list[Any]:
        return []

    def read(self) -> Facts:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    found = Notebook()
    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr(module, "_shell", lambda: found)
    monkeypatch.setattr(module, "import_module", lambda _: found)
    monkeypatch.setattr(module, "read", lambda study: study.read())
    monkeypatch.setattr(module, "_AWAY_SECONDS", 0.01)
    return found


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until(lambda: not threads(), 5, "every live card's thread has ended")


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("warren-live")]


def show(*answers: Facts | Exception) -> Live:
    return Live(FakeStudy(*answers), 0.01)  # type: ignore[arg-type]


DONE = facts(status(state="COMPLETE", complete=480, failed=0, finished_at=AT), reasons=())


def test_a_card_is_kept_fresh_until_the_study_ends(notebook: Notebook) -> None:
    live = show(facts(), facts(status(complete=400)), DONE)
    until(lambda: not live.running, 5)
    shown = notebook.handles[0].shown
    assert "300 of 480" in shown[0]
    assert any("410 of 480" in one for one in shown)
    until(lambda: "480 of 480" in notebook.handles[0].last and "● live" not in notebook.handles[0].last, 5)
    assert repr(live) == "<Live trees-0123: complete>"


def test_stop_ends_the_refreshing_and_says_so_on_the_card(notebook: Notebook) -> None:
    live = show(facts())
    until(lambda: len(notebook.handles[0].shown) > 3, 5)
    live.stop()
    assert threads() == []
    assert "stopped at" in notebook.handles[0].last
    looks = live._study.looks  # type: ignore[attr-defined]
    live.stop()
    assert live._study.looks == looks  # type: ignore[attr-defined]


def test_a_database_that_goes_away_is_waited_for_and_the_card_says_so(notebook: Notebook) -> None:
    live = show(facts(), facts(), AWAY, AWAY, AWAY, facts(status(complete=400)))
    until(lambda: any("410 of 480" in one for one in notebook.handles[0].shown), 5)
    live.stop()
    away = [one for one in notebook.handles[0].shown if "out of reach since" in one]
    assert away
    assert all("300 of 480" in one for one in away), "what was known last stays"
    assert "out of reach" not in notebook.handles[0].last


def test_a_database_that_is_away_from_the_beginning_is_waited_for(notebook: Notebook) -> None:
    live = show(AWAY, AWAY, DONE)
    assert "MongoDB is away" in notebook.handles[0].shown[0]
    until(lambda: not live.running, 5)
    until(lambda: "480 of 480" in notebook.handles[0].last, 5)


def test_a_study_that_is_deleted_ends_its_card(notebook: Notebook) -> None:
    live = show(facts(), facts(), study_gone("trees-0123"))
    until(lambda: not live.running, 5)
    until(lambda: "deleted" in notebook.handles[0].last, 5)
    assert "is not in the database any more" in notebook.handles[0].last


def test_a_study_that_has_ended_is_shown_once_more_with_its_curve(notebook: Notebook) -> None:
    live = show(DONE)
    until(lambda: not live.running, 5)
    assert live._study.looks == 2  # type: ignore[attr-defined]


def test_several_cards_live_side_by_side(notebook: Notebook) -> None:
    first = show(facts())
    notebook.cell, notebook.execution_count = "b", 2
    second = show(facts())
    assert len(threads()) == 2
    first.stop()
    assert second.running
    second.stop()


def test_a_cell_that_is_run_again_takes_the_place_of_its_first_card(notebook: Notebook) -> None:
    first = show(facts())
    notebook.execution_count = 2
    second = show(facts())
    until(lambda: not first.running, 5)
    assert second.running
    second.stop()


def test_a_card_is_not_shown_twice_by_its_own_cell_and_again_by_another(notebook: Notebook) -> None:
    live = show(facts())
    live._ipython_display_()
    assert len(notebook.handles) == 1
    notebook.execution_count = 2
    live._ipython_display_()
    assert len(notebook.handles) == 2
    live.stop()


def test_without_a_notebook_there_is_a_way_out() -> None:
    with pytest.raises(
        InputError, match=r"works only in a notebook.*study\.wait\(\) shows a progress bar and print\(study\)"
    ):
        show(facts())


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "1"])
def test_seconds_must_be_some(notebook: Notebook, seconds: Any) -> None:
    with pytest.raises(InputError, match=r"seconds=.*: give a positive number of seconds between refreshes"):
        Live(FakeStudy(facts()), seconds)  # type: ignore[arg-type]
