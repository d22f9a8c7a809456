"""The card of a study as HTML that needs nothing from elsewhere, and is readable on light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from producer.card_style import CARD_STYLE
from producer.formatting import show_score, show_values
from producer.results.study_reader import StudyReader
from producer.views.card.content import failures, figures, headline, remarks, steps, why_without
from producer.views.card.snapshot import Facts
from warren.errors import StoreError, StudyError

# Parameters that are shown; the rest is counted.
_PARAMETERS = 16
# A share of the bar that a person sees, in per cent.
_LEAST_SHARE = 0.6


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


def html_without(study: StudyReader, error: StoreError | StudyError) -> str:
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
