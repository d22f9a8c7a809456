"""What the pictures of a study have in common: colours, titles, and what is drawn where there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, RED, AMBER, GREY = "#3b82f6", "#e5484d", "#d9930d", "#8a8f98"
# Told apart by colour-blind people too: Okabe and Ito's, without the black, and red kept for failures.
PALETTE = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#7a5195", "#b5a800", "#8c6d46")
_TEMPLATE = "plotly_white"
# Pixels of a picture, of its title, of a note below that, and of a legend.
_HEIGHT, _TITLE, _NOTE, _LEGEND = 460, 62, 24, 28


def finish(
    figure: go.Figure, title: str, note: str = "", height: int | None = None, *, legend: bool = False
) -> go.Figure:
    """Give a figure its title, and below it in small what the reader must know.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    title : str
        What is seen.
    note : str, default=""
        What was left out, and the like.
    height : int, default=None
        Pixels.
    legend : bool, default=False
        Put the legend in a row below the title.

    Returns
    -------
    plotly.graph_objects.Figure
        The same.
    """
    top = _TITLE + (_NOTE if note else 0) + (_LEGEND if legend else 0)
    figure.update_layout(
        template=_TEMPLATE,
        # Pixels from the top, whatever the height: titles stay clear of what is below.
        title={
            "text": title,
            "x": 0.02,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "yref": "container",
            "pad": {"t": 18},
            "subtitle": {"text": note},
        },
        margin={"l": 70, "r": 30, "t": top, "b": 60},
        height=height or _HEIGHT,
    )
    if legend:
        figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "title": None})
    return figure


def nothing(title: str, why: str) -> go.Figure:
    """Return a figure that says why there is nothing to see."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_annotation(
        text=why, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15, "color": GREY}
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return finish(figure, title, height=280)


def safe(text: str) -> str:
    """Return a text as plotly shows it: what looks like markup there is none."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
