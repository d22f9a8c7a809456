"""The card of a study: what a person wants to know at a glance, as HTML for a notebook and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from producer.results.progress_bar import show_rate, show_seconds
from producer.views.card.snapshot import Facts, read
from producer.views.card.style import CARD_STYLE
from producer.views.words import count, show_reason, show_score, show_span, show_values
from warren.errors import StoreError, StudyError

if TYPE_CHECKING:
    from producer.study import Study

# Seconds that a look may take: a cell that shows a study must not hang on a server that is away.
_LOOK_SECONDS = 5.0
# Seconds without a first result after which it seems that nobody works.
_PATIENCE_SECONDS = 20.0
# Different reasons of failures that are shown, things to type, and parameters; the rest is counted.
_REASONS = 3
_STEPS = 3
_PARAMETERS = 16
# A share of the bar that a person sees, in per cent.
_LEAST_SHARE = 0.6


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


def html(study: Study) -> str:
    """Return the card as HTML that needs nothing from elsewhere, and is readable on light and dark.

    Parameters
    ----------
    study : Study

    Returns
    -------
    str
        It says so where the study was deleted or its database is out of reach, and raises for neither.
    """
    try:
        with study._store.within(_LOOK_SECONDS):
            facts = read(study)
    except (StoreError, StudyError) as exc:
        return html_without(study, exc)
    return html_of(facts)


def text(study: Study) -> str:
    """Return the card as plain text, as wide as the terminal.

    Parameters
    ----------
    study : Study

    Returns
    -------
    str
        As `html` where there is nothing to show.
    """
    from producer.views.card.text import text_of, text_without

    try:
        with study._store.within(_LOOK_SECONDS):
            facts = read(study)
    except (StoreError, StudyError) as exc:
        return text_without(study, exc)
    return text_of(facts)


# ---------------------------------------------------------------------------- content


def headline(facts: Facts) -> str:
    """Return how many trials have ended: ``300 of 480 trials · 62 %``."""
    status = facts.status
    share = 100 * status.done // max(status.total, 1)
    return f"{status.done:,} of {count(status.total, 'trial')} · {share} %"


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
        found.append(Figure(show_rate(tempo.rate), "pace of " + count(tempo.workers, "worker")))
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
    title = f"{count(status.failed, 'trial')} failed"
    if facts.failures_read < status.failed and shown:
        title += f"; of the first {facts.failures_read:,}:"
    more = len(facts.reasons) - len(shown)
    return title, shown, f"and {count(more, 'other reason')}: study.results()" if more > 0 else ""


def why_without(error: StoreError | StudyError) -> str:
    """Return the state of a study that can't be shown."""
    return "out of reach" if isinstance(error, StoreError) else "deleted"


# ------------------------------------------------------------------------------- HTML


def html_of(facts: Facts, *, live: str = "", notice: str = "", below: str = "") -> str:
    """Return the card of some facts.

    Parameters
    ----------
    facts : Facts
    live : str, default=""
        What stands beside the state of a card that is kept fresh.
    notice : str, default=""
        What the reader must know first: that this is old, and why.
    below : str, default=""
        HTML that comes after the best trial.
    """
    status = facts.status
    state = status.state.lower()
    parts = [
        f'<div class="w-head"><span class="w-name">{escape(status.name)}</span>'
        f'<span class="w-state w-{escape(state)}">{escape(state)}</span>'
        + (f'<span class="w-live">{escape(live)}</span>' if live else "")
        + "</div>",
        f'<div class="w-notice">{escape(notice)}</div>' if notice else "",
        _bar(facts),
        f'<div class="w-count"><b>{escape(headline(facts))}</b>'
        + "".join(f"<span>{escape(said)}</span>" for said in remarks(facts))
        + "</div>",
        '<div class="w-figures">'
        + "".join(f"<div><b>{escape(one.value)}</b> <span>{escape(one.label)}</span></div>" for one in figures(facts))
        + "</div>",
        *_best(facts),
        below,
        *_failures(facts),
        f'<div class="w-dead">{escape(status.dead_text)}</div>' if status.dead else "",
        f'<div class="w-dead">{escape(status.versions_text)}</div>' if status.versions_text else "",
        *_foot(facts, live=bool(live)),
    ]
    return _wrap("".join(parts), stale=bool(notice))


def html_without(study: Study, error: StoreError | StudyError) -> str:
    """Return the card of a study of which nothing can be shown, for an error."""
    state = why_without(error)
    return _wrap(
        f'<div class="w-head"><span class="w-name">{escape(study.name)}</span>'
        f'<span class="w-state w-gone">{escape(state)}</span></div>'
        f'<div class="w-notice">{escape(str(error))}</div>'
        f'<div class="w-foot"><span class="w-id">{escape(study.id)}</span></div>'
    )


def _wrap(inner: str, *, stale: bool = False) -> str:
    return f'<div class="warren-card{" w-stale" if stale else ""}"><style>{CARD_STYLE}</style>{inner}</div>'


def _bar(facts: Facts) -> str:
    status = facts.status
    total = max(status.total, 1)

    def part(kind: str, trials: int) -> str:
        width = max(100 * trials / total, _LEAST_SHARE)
        return f'<i class="w-{kind}" style="width:{width:.2f}%"></i>' if trials else ""

    shown = part("done", status.complete) + part("failed", status.failed) + part("lost", status.dead)
    label = f"{status.done} of {status.total} trials have ended"
    return f'<div class="w-bar" role="img" aria-label="{escape(label)}">{shown}</div>'


def _best(facts: Facts) -> Iterator[str]:
    status = facts.status
    if status.best_score is None:
        return
    who = f"trial {status.best_number}" + (f" · {facts.best_estimator}" if facts.best_estimator else "")
    metric = "score" if facts.metric == "score" else facts.metric
    params = show_values(facts.best_params)
    chips = "".join(f"<span><i>{escape(name)}</i> {escape(value)}</span>" for name, value in params[:_PARAMETERS])
    if len(params) > _PARAMETERS:
        chips += f"<span>and {len(params) - _PARAMETERS} more</span>"
    yield (
        f'<div class="w-best"><div><span class="w-label">best {escape(metric)}</span> '
        f"<b>{escape(show_score(status.best_score))}</b> <span>{escape(who)}</span></div>"
        f'<div class="w-params">{chips}</div></div>'
    )


def _failures(facts: Facts) -> Iterator[str]:
    if not facts.status.failed:
        return
    title, shown, more = failures(facts)
    rows = "".join(
        f"<tr><td>{escape(number)}</td><td>{escape(why)}</td><td>{escape(which)}</td></tr>"
        for number, why, which in shown
    )
    tail = f"<div>{escape(more)}</div>" if more else ""
    yield f'<div class="w-failures"><div class="w-label">{escape(title)}</div><table>{rows}</table>{tail}</div>'


def _foot(facts: Facts, *, live: bool) -> Iterator[str]:
    typed = "".join(
        f"<span><code>{escape(step.code)}</code> {escape(step.purpose)}</span>" for step in steps(facts, live=live)
    )
    yield f'<div class="w-foot">{typed}<span class="w-id">{escape(facts.status.id)}</span></div>'
