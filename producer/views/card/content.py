"""The content of a study's card, for HTML and text: counts, figures, failures and next steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producer.formatting import plural, show_rate, show_reason, show_seconds, show_span
from producer.views.card.snapshot import Facts
from warren.errors import StoreError, StudyError

# Seconds without a first result after which the card suggests starting workers.
_PATIENCE_SECONDS = 20.0
# Most failure reasons and next steps shown; further reasons are only counted.
_REASONS = 3
_STEPS = 3


@dataclass(frozen=True)
class Figure:
    """A number and its label: ``20.3 trials/s``, ``pace``."""

    value: str
    label: str


@dataclass(frozen=True)
class Step:
    """A call or command to type next, and its purpose."""

    code: str
    purpose: str


def headline(facts: Facts) -> str:
    """Return the number of trials that have ended: ``300 of 480 trials · 62 %``."""
    status = facts.status
    share = 100 * status.done // max(status.total, 1)
    return f"{status.done:,} of {plural(status.total, 'trial')} · {share} %"


def remarks(facts: Facts) -> list[str]:
    """Return remarks on the counts: failures, dead letters, and why there is no progress."""
    status = facts.status
    texts = [f"{status.failed:,} failed"] if status.failed else []
    if status.dead:
        texts.append(f"{status.dead:,} in messages that no worker can use")
    if status.lost:
        texts.append(f"{status.lost:,} neither queued nor with a worker: the broker has removed them")
    if facts.quiet_seconds:
        texts.append(f"no result for {show_span(facts.quiet_seconds)}")
    elif facts.running and not facts.has_new_result:
        texts.append("no result yet" if status.submitted_at else "being submitted")
    return texts


def figures(facts: Facts) -> list[Figure]:
    """Return the card's figures: pace and time left of a running study, and the time spent."""
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
    """Return the next steps, the most useful first; a `live` card already refreshes itself."""
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
        found.append(Step("study.resume()", "publishes the rest, if the submission has stopped"))
    elif facts.running:
        found.append(
            Step("study.pause()", "lets workers rest") if live else Step("study.live()", "refreshes this card")
        )
    if status.complete:
        found.append(Step("study.results()", "one row per trial"))
    if status.state == "COMPLETE" and status.complete:
        found.append(Step("study.plot.history()", "plots the scores"))
    return found[:_STEPS]


def failures(facts: Facts) -> tuple[str, Sequence[tuple[str, str, str]], str]:
    """Return a title, (count, reason, example) of the commonest failures, and the rest."""
    status = facts.status
    shown = [
        (
            f"{reason.count:,} ×",
            show_reason(reason.text),
            ("such as " if reason.count > 1 else "") + f"trial {reason.example}",
        )
        for reason in facts.reasons[:_REASONS]
    ]
    title = f"{plural(status.failed, 'trial')} failed"
    if facts.failures_read < status.failed and shown:
        title += f"; of the first {facts.failures_read:,}:"
    hidden = len(facts.reasons) - len(shown)
    return title, shown, f"and {plural(hidden, 'other reason')}: study.results()" if hidden > 0 else ""


def why_without(error: StoreError | StudyError) -> str:
    """Return the state of a study that can't be shown."""
    return "out of reach" if isinstance(error, StoreError) else "deleted"
