"""The card of a study as self-contained HTML that is readable in light and dark themes."""

from __future__ import annotations

from typing import Any

from producer.formatting import show_score, show_values
from producer.results.study_reader import StudyReader
from producer.templating import page
from producer.views.card.content import failures, figures, headline, remarks, steps, why_without
from producer.views.card.snapshot import Facts
from warren.errors import StoreError, StudyError

# Most parameters shown; the rest is only counted.
_PARAMETERS = 16
# Least width of a part of the bar that is still visible, in per cent.
_LEAST_SHARE = 0.6


def html_of(facts: Facts, *, live: str = "", notice: str = "", curve: str = "") -> str:
    """Return the card as HTML.

    Parameters
    ----------
    facts : Facts
    live : str, default=""
        Text next to the state of a card that refreshes itself.
    notice : str, default=""
        Text at the top, such as why the card is outdated.
    curve : str, default=""
        The SVG of the best score so far, from `producer.views.card.curve`.
    """
    status = facts.status
    return page(
        "card.html",
        id=status.id,
        name=status.name,
        kind=status.state.lower(),
        state=status.state.lower(),
        live=live,
        notice=notice,
        status=status,
        shares=_shares(facts),
        headline=headline(facts),
        remarks=remarks(facts),
        figures=figures(facts),
        best=_best(facts),
        curve=curve,
        failures=failures(facts) if status.failed else None,
        steps=steps(facts, live=bool(live)),
    )


def html_without(study: StudyReader, error: StoreError | StudyError) -> str:
    """Return the card of a study that can't be read, with the error."""
    return page(
        "card.html",
        id=study.id,
        name=study.name,
        kind="gone",
        state=why_without(error),
        live="",
        notice=str(error),
        status=None,
        steps=(),
    )


def _shares(facts: Facts) -> list[tuple[str, float]]:
    """Return the parts of the bar and their widths in per cent."""
    status = facts.status
    parts = {"done": status.complete, "failed": status.failed, "lost": status.dead}
    return [(kind, max(100 * trials / max(status.total, 1), _LEAST_SHARE)) for kind, trials in parts.items() if trials]


def _best(facts: Facts) -> dict[str, Any] | None:
    status = facts.status
    if status.best_score is None:
        return None
    params = show_values(facts.best_params)
    return {
        "metric": facts.metric,
        "score": show_score(status.best_score),
        "trial": f"trial {status.best_number}" + (f" · {facts.best_estimator}" if facts.best_estimator else ""),
        "params": params[:_PARAMETERS],
        "more": max(len(params) - _PARAMETERS, 0),
    }
