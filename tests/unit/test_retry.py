"""Patience with a server that is away: it waits, says so now and then, and says when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from warren.errors import StoreError
from warren.retry import Patience, patiently

LOGGER = logging.getLogger("patience")


class World:
    """A clock that waiting moves on, and a server that is away for some time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.back_at = 0.0
        self.waits: list[float] = []
        self.told: list[str] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def ask(self, what: str = "answer") -> str:
        if self.now < self.back_at:
            raise StoreError("nobody is there")
        return what

    def patience(self, **options: Any) -> Patience:
        return patiently(
            StoreError,
            "results wait",
            LOGGER,
            server="the database",
            wait=self.wait,
            on_away=lambda reason: self.told.append(reason),
            on_back=lambda: self.told.append("back"),
            clock=lambda: self.now,
            **options,
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[Any]]]:
    with caplog.at_level(logging.INFO, LOGGER.name):
        yield lambda: list(caplog.records)


def test_a_server_that_is_there_is_asked_once_and_nothing_is_said(world: World, lines: Callable[[], list[Any]]) -> None:
    assert world.patience()(world.ask, what="this") == "this"
    assert (world.waits, lines(), world.told) == ([], [], [])


def test_a_short_outage_is_two_lines(world: World, lines: Callable[[], list[Any]]) -> None:
    world.back_at = world.now + 5
    assert world.patience()(world.ask) == "answer"
    begin, end = lines()
    assert begin.getMessage() == "results wait"
    assert begin.reason == "nobody is there"
    assert end.getMessage() == "the database is back"
    assert 5 <= end.away_seconds <= 25
    assert end.tries == len(world.waits)
    assert world.told == ["nobody is there", "back"]


def test_a_long_outage_is_said_at_growing_intervals(world: World, lines: Callable[[], list[Any]]) -> None:
    world.back_at = world.now + 3600 * 6
    world.patience()(world.ask)
    away = [line.away_seconds for line in lines()[1:-1]]
    gaps = [later - sooner for sooner, later in zip([0, *away], away, strict=False)]
    assert 10 <= gaps[0] < 30
    assert all(later > sooner - 20 for sooner, later in pairwise(gaps))
    assert max(gaps) < 620
    assert len(world.waits) > 500, "it went on asking"
    assert len(away) < 50, "and seldom said so"


def test_waits_grow_and_differ_and_stay_below_their_limit(world: World) -> None:
    world.back_at = world.now + 600
    world.patience()(world.ask)
    assert world.waits[0] <= 0.4
    assert max(world.waits) <= 15
    assert max(world.waits) > 5
    assert len(set(world.waits)) == len(world.waits)


def test_a_server_that_comes_and_goes_gets_no_shorter_waits(world: World) -> None:
    patience = world.patience()
    for _ in range(12):
        world.back_at = world.now + 1e-6
        patience(world.ask)
    assert sum(world.waits[-6:]) > sum(world.waits[:3])


def test_a_server_that_stayed_begins_with_short_waits_again(world: World) -> None:
    patience = world.patience()
    world.back_at = world.now + 600
    patience(world.ask)
    world.now += 60
    world.waits.clear()
    world.back_at = world.now + 1e-6
    patience(world.ask)
    assert world.waits[0] <= 0.4


def test_a_call_that_lasts_says_itself_that_the_server_is_there(world: World, lines: Callable[[], list[Any]]) -> None:
    patience = world.patience()
    sessions = iter(["refused", "lost after an hour", "stopped"])

    def session() -> str:
        match next(sessions):
            case "refused":
                raise StoreError("refused")
            case "lost after an hour":
                patience.back()
                world.now += 3600
                raise StoreError("lost")
        return "stopped"

    assert patience(session) == "stopped"
    said = [(line.getMessage(), getattr(line, "reason", None)) for line in lines()]
    assert said == [
        ("results wait", "refused"),
        ("the database is back", None),
        ("results wait", "lost"),
        ("the database is back", None),
    ]
    assert max(world.waits) <= 0.4


def test_what_is_no_outage_comes_through(world: World, lines: Callable[[], list[Any]]) -> None:
    with pytest.raises(ZeroDivisionError):
        world.patience()(lambda: 1 / 0)
    assert lines() == []


def test_who_gives_up_gets_the_last_error_and_the_outage_goes_on(world: World, lines: Callable[[], list[Any]]) -> None:
    world.back_at = world.now + 100
    patience = world.patience(stop=lambda _: world.now > 1020)
    for _ in range(2):
        with pytest.raises(StoreError, match="nobody is there"):
            patience(world.ask)
    world.now = 1101.0
    patience(world.ask)
    assert [line.levelname for line in lines()].count("INFO") == 1
    assert world.told == ["nobody is there", "back"]
    assert lines()[-1].away_seconds == 101
