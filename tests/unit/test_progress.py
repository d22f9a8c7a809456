from __future__ import annotations

import io
from typing import Any

import pytest
from commands import status

from producer.formatting import show_rate, show_seconds
from producer.results.progress_bar import Pace, Progress, describe
from producer.results.status import Status


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def seen(done: int, *, total: int = 300, failed: int = 0, spent_seconds: float = 0.0, **fields: Any) -> Status:
    spent = {"fit_seconds": spent_seconds, "score_seconds": 0.0}
    counts = {"total": total, "complete": done - failed, "failed": failed}
    return status(**{"state": "RUNNING", "best_score": None, **spent, **counts, **fields})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def follow(clock: Clock, stream: io.StringIO, *steps: tuple[float, Status]) -> list[str]:
    """Show each status after its seconds; return the lines written."""
    with Progress(300, "study", stream=stream, clock=clock) as progress:
        for seconds, found in steps:
            clock.seconds += seconds
            progress.update(found)
    return stream.getvalue().splitlines()


def test_the_pace_counts_no_trial_that_ended_before_following_began() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.see(200)
    clock.seconds += 10
    pace.see(230)
    assert pace.rate == 3.0


def test_the_pace_forgets_workers_that_are_gone() -> None:
    clock = Clock()
    pace = Pace(clock)
    done = 0
    for seconds, trials in [(1, 10)] * 60 + [(1, 1)] * 60:
        clock.seconds += seconds
        done += trials
        pace.see(done)
    assert pace.rate == pytest.approx(1, rel=0.1)


def test_the_pace_of_slow_trials_is_seen_between_them() -> None:
    clock = Clock()
    pace = Pace(clock)
    for done in (0, 1, 2):
        pace.see(done)
        clock.seconds += 600
    assert pace.rate == pytest.approx(1 / 1200)


def test_the_pace_starts_again_when_failed_trials_are_taken_back() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.see(0)
    clock.seconds += 10
    pace.see(100)
    pace.see(60)
    assert pace.rate == 0
    clock.seconds += 10
    pace.see(80)
    assert pace.rate == 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (7200, "2:00:00"), (200_000, "2 d 7 h")],
)
def test_a_duration_reads_well(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"), [(12.34, "12.3 trials/s"), (0.5, "30.0 trials/min"), (0.001, "3.6 trials/h")]
)
def test_a_rate_has_a_unit_that_makes_it_a_number(rate: float, shown: str) -> None:
    assert show_rate(rate) == shown


def test_a_description_says_pace_time_left_best_and_failures() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.see(0)
    clock.seconds += 10
    pace.see(100)
    status = seen(done=100, failed=3, best_score=0.97361)
    assert describe(status, pace) == "10.0 trials/s, 0:20 left, best 0.9736, 3 failed"


def test_the_time_left_is_the_work_left_among_those_at_work() -> None:
    """Long trials come first: their rate says too much for the short ones that are left."""
    clock = Clock()
    pace = Pace(clock)
    pace.see(0, 0.0)
    clock.seconds += 10
    pace.see(20, 40.0)
    assert pace.workers == 4
    status = seen(done=20, spent_seconds=40.0, work_left_seconds=28.0)
    assert describe(status, pace) == "2.0 trials/s, 0:07 left"


@pytest.mark.parametrize(("spent", "left"), [(40.0, None), (40.0, 0.0), (0.0, 28.0)])
def test_without_an_estimate_or_work_seen_the_time_left_goes_by_the_trials(spent: float, left: float | None) -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.see(0, 0.0)
    clock.seconds += 10
    pace.see(100, spent)
    assert seen(100, spent_seconds=spent, work_left_seconds=left).seconds_left(pace.rate, pace.workers) == 20


def test_workers_that_are_gone_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    spent = 0.0
    for second in range(240):
        clock.seconds += 1
        spent += 8 if second < 120 else 2
        pace.see(second, spent)
    assert pace.workers == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (seen(done=0), "waiting for workers"),
        (seen(done=10, state="PAUSED", best_score=0.5), "paused, best 0.5000"),
        (seen(done=10, state="CANCELLED"), "cancelled"),
        (seen(done=300, state="COMPLETE", best_score=0.5), "best 0.5000"),
    ],
)
def test_a_description_says_what_a_study_waits_for(status: Status, shown: str) -> None:
    assert describe(status, Pace(Clock())) == shown


def test_a_log_gets_plain_lines_at_the_start_each_tenth_and_the_end() -> None:
    steps = [(0.0, seen(done=0))] + [(2.0, seen(done=done)) for done in range(10, 300, 10)]
    steps.append((2.0, seen(done=300, state="COMPLETE")))
    lines = follow(Clock(), stream := io.StringIO(), *steps)
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert lines[0] == "study: 0/300 trials (0%), waiting for workers"
    assert lines[1] == "study: 30/300 trials (10%), 5.0 trials/s, 0:54 left"
    assert lines[-1] == "study: 300/300 trials (100%)"
    assert len(lines) == 11


def test_the_log_of_a_slow_study_gets_fewer_lines_with_time() -> None:
    steps = [(1.0, seen(done=second // 100)) for second in range(3600)]
    lines = follow(Clock(), io.StringIO(), *steps)
    assert 40 < len(lines) < 70


def test_a_quick_study_ends_with_its_last_line_only_once() -> None:
    lines = follow(Clock(), io.StringIO(), (0.0, seen(done=300, state="COMPLETE")))
    assert lines == ["study: 300/300 trials (100%)"]


def test_the_last_line_is_written_when_following_is_broken_off() -> None:
    steps = [(0.0, seen(done=0)), (0.5, seen(done=1))]
    lines = follow(Clock(), io.StringIO(), *steps)
    assert len(lines) == 2
    assert lines[-1].startswith("study: 1/300 trials")


def test_a_terminal_gets_a_bar() -> None:
    steps = [(0.0, seen(done=0)), (2.0, seen(done=30, best_score=0.9))]
    follow(Clock(), stream := Terminal(), *steps)
    last = stream.getvalue().split("\r")[-1]
    assert "study:  10%|" in last
    assert "| 30/300 [" in last
    assert "15.0 trials/s, 0:18 left, best 0.9000]" in last
