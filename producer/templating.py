"""Renders HTML and SVG from the files in `templates` with jinja2, and escapes every value.

Backgrounds are transparent and text has the page's own colour, so that a card is readable in light
and dark themes. Detecting the theme would need different code for every notebook program.
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
        """Joins a template's lines: line breaks and indents would become spaces in a page."""

        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
            return "".join(line.strip() for line in source.splitlines())

    # Escape in every template, not only in .html: all values may come from users.
    return Environment(
        loader=PackageLoader("producer"), autoescape=True, undefined=StrictUndefined, extensions=[Joined]
    )


def page(template: str, **values: Any) -> str:
    """Return a rendered template as a plain string."""
    return str(render(template, **values))


def render(template: str, **values: Any) -> Markup:
    """Render a template, as a value for another template.

    Parameters
    ----------
    template : str
        Its file name, such as ``card.html``.
    **values : object
        The values of its names. Text is escaped unless it is a result of `render`.

    Returns
    -------
    markupsafe.Markup
    """
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - the template escapes
