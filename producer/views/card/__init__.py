"""The card of a study: a summary for notebooks and terminals, once or refreshed live."""

from __future__ import annotations

from producer.results.study_reader import StudyReader
from producer.views.card.html import html_of, html_without
from producer.views.card.snapshot import read
from producer.views.card.text import text_of, text_without
from warren.errors import StoreError, StudyError

# Seconds that a read may take: a notebook cell must not hang on an unreachable database.
_LOOK_SECONDS = 5.0


def card_html(study: StudyReader) -> str:
    """Return the card as self-contained HTML that is readable in light and dark themes.

    Parameters
    ----------
    study : StudyReader

    Returns
    -------
    str
        If the study was deleted or its database is unreachable, the card shows that error.
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
        If the study was deleted or its database is unreachable, the card shows that error.
    """
    try:
        with study.store.within(_LOOK_SECONDS):
            facts = read(study)
    except (StoreError, StudyError) as exc:
        return text_without(study, exc)
    return text_of(facts)
