"""The plot of the best trials' scores in each fold."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from producer.formatting import show_score, show_values
from producer.results.study_reader import StudyReader
from producer.views.plots.theme import PALETTE, finish, safe
from warren.errors import InputError
from warren.storage.documents import Document

if TYPE_CHECKING:
    import plotly.graph_objects as go


# Pixels of a trial's row, and of the space around all rows.
_ROW, _FRAME = 34, 170


def best_by(study: StudyReader, n: int, metric: str | None) -> tuple[str, Sequence[Document]]:
    """Return a metric's name and the documents of its best trials, best first.

    Raises
    ------
    InputError
        There is no such metric, or `n` is not a positive integer.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n={n!r}: give the number of trials, 1 or more")
    metrics = list(study.objective.scorers)
    wanted = study.refit if metric is None else metric
    if wanted not in metrics:
        raise InputError(f"metric={metric!r}: the study has {', '.join(map(repr, metrics))}")
    if wanted == study.refit:
        return wanted, study.best_trials(n)
    name = f"mean_test_{wanted}"
    fields = ("number", "estimator", "params", "failed_fits", name, f"split_test_{wanted}")
    scored = (
        trial
        for trial in study.trials.of(fields)
        if not trial.get("failed_fits") and math.isfinite(trial.get(name, math.nan))
    )
    return wanted, heapq.nsmallest(n, scored, key=lambda trial: (-trial[name], trial["number"]))


def spread(trials: Sequence[Mapping[str, Any]], metric: str, title: str) -> go.Figure:
    """Draw a box plot of each trial's fold scores.

    Parameters
    ----------
    trials : sequence of dict
        Trial documents, best first; at least one.
    metric : str
    title : str
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    classes = list(dict.fromkeys(trial["estimator"] for trial in trials))
    in_legend: set[str] = set()
    labels = []
    for trial in trials:
        class_name = trial["estimator"]
        folds = trial[f"split_test_{metric}"]
        labels.append(
            safe(f"trial {trial['number']} · {class_name}" if len(classes) == 1 else f"trial {trial['number']}")
        )
        parameters = "<br>".join(safe(f"{name} = {value}") for name, value in show_values(trial["params"]))
        figure.add_trace(
            go.Box(
                x=folds,
                y=[labels[-1]] * len(folds),
                name=safe(class_name),
                legendgroup=class_name,
                showlegend=len(classes) > 1 and class_name not in in_legend,
                orientation="h",
                boxpoints="all",
                pointpos=0,
                jitter=0.35,
                boxmean=True,
                marker={"color": PALETTE[classes.index(class_name) % len(PALETTE)], "size": 6, "opacity": 0.75},
                line={"width": 1.2},
                width=0.6,
                text=[f"fold {number}: {show_score(score)}<br>{parameters}" for number, score in enumerate(folds)],
                hovertemplate="%{text}<extra></extra>",
                hoveron="points",
            )
        )
        in_legend.add(class_name)
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], automargin=True)
    figure.update_xaxes(title=safe(metric))
    figure.update_layout(hoverlabel={"align": "left"})
    note = "one point per fold; dashed line: mean, solid line: median"
    return finish(figure, title, note, height=_FRAME + _ROW * max(len(trials), 3), legend=len(classes) > 1)
