"""The common look of all plots: colours, titles, and an empty figure with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, RED, AMBER, GREY = "#3b82f6", "#e5484d", "#d9930d", "#8a8f98"
# Colours that colour-blind people can distinguish: Okabe and Ito's without black; red is for
# failures.
PALETTE = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#7a5195", "#b5a800", "#8c6d46")
_TEMPLATE = "plotly_white"
# Heights in pixels: of a plot, its title, the note below it, and the legend.
_HEIGHT, _TITLE, _NOTE, _LEGEND = 460, 62, 24, 28


def finish(
    figure: go.Figure, title: str, note: str = "", height: int | None = None, *, legend: bool = False
) -> go.Figure:
    """Add the title, a note and the layout to a figure.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    title : str
    note : str, default=""
        Small text below the title, such as what was left out.
    height : int, default=None
        Pixels.
    legend : bool, default=False
        Put the legend in a row below the title.

    Returns
    -------
    plotly.graph_objects.Figure
        `figure`.
    """
    top = _TITLE + (_NOTE if note else 0) + (_LEGEND if legend else 0)
    figure.update_layout(
        template=_TEMPLATE,
        # In pixels from the top, so that the title never overlaps the plot.
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
    """Return an empty figure that says why there is nothing to plot."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_annotation(
        text=why, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15, "color": GREY}
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return finish(figure, title, height=280)


def safe(text: str) -> str:
    """Escape a text, so that plotly shows it without interpreting markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
