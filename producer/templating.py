"""HTML and SVG, by jinja2 from the files in `templates`: every value is escaped.

Colours are laid over whatever the page has, and text takes the page's own colour, so that a card is readable on light
and dark without asking which it is: every notebook says so in another way.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from jinja2.ext import Extension

    class Joined(Extension):
        """Joins a template's lines, whose ends and beginnings would be spaces in a page."""

        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
            return "".join(line.strip() for line in source.splitlines())

    # Styles and pictures are escaped too: a file's ending says nothing of where its values come from.
    return Environment(
        loader=PackageLoader("producer"), autoescape=True, undefined=StrictUndefined, extensions=[Joined]
    )


def page(template: str, **values: Any) -> str:
    """Return what `render` makes as plain text, which others may put among theirs."""
    return str(render(template, **values))


def render(template: str, **values: Any) -> Markup:
    """Return a template with its values, to be a value of another template.

    Parameters
    ----------
    template : str
        ``card.html``, for one.
    **values : object
        What it names. Text is escaped, unless `render` made it.
    """
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - the template escapes
