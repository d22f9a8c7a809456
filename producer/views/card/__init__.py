"""The card of a study, in a notebook and a terminal, at once and live."""

from __future__ import annotations

from producer.results.study_reader import StudyReader
from producer.views.card.html import html_of, html_without
from producer.views.card.snapshot import read
from producer.views.card.text import text_of, text_without
from warren.errors import StoreError, StudyError

# Seconds that a look may take: a cell that shows a study must not hang on a server that is away.
_LOOK_SECONDS = 5.0


def card_html(study: StudyReader) -> str:
    """Return the card as HTML that needs nothing from elsewhere, and is readable on light and dark.

    Parameters
    ----------
    study : StudyReader

    Returns
    -------
    str
        It says so where the study was deleted or its database is out of reach, and raises for neither.
    """
    try:
        with study.store.within(_LOOK_SECONDS):
            facts = read(study)
    except (StoreError, StudyError) as exc:
        return html_without(study, exc)
    return html_of(facts)


def card_text(study: StudyReader) -> str:
    """Return the card as plain text, as wide as the terminal.

    Parameters
    ----------
    study : StudyReader

    Returns
    -------
    str
        As `card_html` where there is nothing to show.
    """
    try:
        with study.store.within(_LOOK_SECONDS):
            facts = read(study)
    except (StoreError, StudyError) as exc:
        return text_without(study, exc)
    return text_of(facts)
