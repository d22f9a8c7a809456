"""What the card of a study says, whatever shows it: counts, figures, failures, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producer.formatting import plural, show_rate, show_reason, show_seconds, show_span
from producer.views.card.snapshot import Facts
from warren.errors import StoreError, StudyError

# Seconds without a first result after which it seems that nobody works.
_PATIENCE_SECONDS = 20.0
# Different reasons of failures that are shown, and things to type; the rest is counted.
_REASONS = 3
_STEPS = 3


@dataclass(frozen=True)
class Figure:
    """A number with what it is: ``20.3 trials/s``, ``pace``."""

    value: str
    label: str


@dataclass(frozen=True)
class Step:
    """What to type next, and what for."""

    code: str
    purpose: str


def headline(facts: Facts) -> str:
    """Return how many trials have ended: ``300 of 480 trials · 62 %``."""
    status = facts.status
    share = 100 * status.done // max(status.total, 1)
    return f"{status.done:,} of {plural(status.total, 'trial')} · {share} %"


def remarks(facts: Facts) -> list[str]:
    """Return what stands beside the counts: failures, dead letters, and why nothing moves."""
    status = facts.status
    said = [f"{status.failed:,} failed"] if status.failed else []
    if status.dead:
        said.append(f"{status.dead:,} in messages that no worker can use")
    if status.lost:
        said.append(f"{status.lost:,} neither queued nor with a worker: the broker has removed them")
    if facts.quiet_seconds:
        said.append(f"no result for {show_span(facts.quiet_seconds)}")
    elif facts.running and not facts.began_anew:
        said.append("no result yet" if status.submitted_at else "being submitted")
    return said


def figures(facts: Facts) -> list[Figure]:
    """Return the numbers of the card: pace and time left of a study that runs, and the seconds that it took."""
    status, tempo, left = facts.status, facts.tempo, facts.seconds_left
    found = []
    if facts.running and tempo and not facts.quiet_seconds:
        found.append(Figure(show_rate(tempo.rate), "pace of " + plural(tempo.workers, "worker")))
    if left is not None:
        found.append(Figure(show_seconds(left), "left, about"))
    ended = status.state in {"COMPLETE", "CANCELLED"}
    found.append(Figure(show_span(facts.elapsed_seconds), "from first to last" if ended else "since submission"))
    if status.done:
        found.append(Figure(show_span(status.spent_seconds), "trained and scored"))
    if status.saved_seconds >= 1:
        found.append(Figure(show_span(status.saved_seconds), "of training saved"))
    return found


def steps(facts: Facts, *, live: bool = False) -> list[Step]:
    """Return what to type next, the most useful first; a card that is `live` keeps itself fresh."""
    status = facts.status
    found = []
    if status.failed or status.dead:
        found.append(Step("study.retry_failed()", "tries failed trials again"))
    if status.state in {"PAUSED", "CANCELLED"}:
        found.append(Step("study.resume()", "goes on"))
    elif status.lost:
        found.append(Step("study.resume()", "publishes again what the broker has removed"))
    elif facts.quiet_seconds or facts.waiting_seconds > _PATIENCE_SECONDS:
        found.append(Step("warren worker --count 4", "in a terminal starts workers"))
    elif facts.running and status.submitted_at is None:
        found.append(Step("study.resume()", "publishes the rest, if nobody is at it any more"))
    elif facts.running:
        found.append(Step("study.pause()", "lets workers rest") if live else Step("study.live()", "keeps this fresh"))
    if status.complete:
        found.append(Step("study.results()", "a row a trial"))
    if status.state == "COMPLETE" and status.complete:
        found.append(Step("study.plot.history()", "a picture"))
    return found[:_STEPS]


def failures(facts: Facts) -> tuple[str, Sequence[tuple[str, str, str]], str]:
    """Return what is said of failures: a title, (how many, why, which) for the commonest, and of the others."""
    status = facts.status
    shown = [
        (f"{one.count:,} ×", show_reason(one.text), ("such as " if one.count > 1 else "") + f"trial {one.example}")
        for one in facts.reasons[:_REASONS]
    ]
    title = f"{plural(status.failed, 'trial')} failed"
    if facts.failures_read < status.failed and shown:
        title += f"; of the first {facts.failures_read:,}:"
    more = len(facts.reasons) - len(shown)
    return title, shown, f"and {plural(more, 'other reason')}: study.results()" if more > 0 else ""


def why_without(error: StoreError | StudyError) -> str:
    """Return the state of a study that can't be shown."""
    return "out of reach" if isinstance(error, StoreError) else "deleted"
