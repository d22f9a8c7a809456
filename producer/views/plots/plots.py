"""The plots of a study: Optuna's, and our own of workers and folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from producer.results.study_reader import StudyReader
from producer.views.optional_packages import require
from producer.views.plots.theme import BLUE, finish, nothing, safe

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from producer.views.plots.selection import Selection

# Most trials that a plot shows; of more, it shows the best and a sample. A browser draws many lines
# slowly, and importances fit a random forest on all of them.
_PARALLEL_TRIALS = 300
_IMPORTANCE_TRIALS = 1000
_SLICE_TRIALS = 3000
_CONTOUR_TRIALS = 2000
# From so many points on, WebGL draws them.
_WEBGL_POINTS = 1000
# Parameters that `slice` and `contour` show by default: their size grows with the number, and with
# its square.
_SLICE_PARAMS = 8
_CONTOUR_PARAMS = 4
# Pixels around a plot, of a bar, and of a contour map.
_FRAME, _BAR, _MAP = 170, 40, 190
_NO_SCORE = "no trial has a score yet"


class Plots:
    """Plots of a study; ``study.plot``.

    Each method returns a plotly figure of the trials that have ended. For very large studies it
    shows the best trials and a sample of the others, and says so under the title.

    Parameters
    ----------
    study : StudyReader
        The study to plot.

    Raises
    ------
    InputError
        From every method: plotly or Optuna is not installed, or there is no such metric, parameter
        or estimator.
    StoreError
        From every method: MongoDB is unreachable.
    """

    def __init__(self, study: StudyReader) -> None:
        self._study = study

    def _select(self, what: str, metric: str | None) -> Selection:
        require(f"study.plot.{what}()", "optuna", "plotly")
        from producer.views.plots.selection import Selection

        return Selection.of(self._study, metric)

    def _title(self, what: str) -> str:
        return safe(f"{self._study.name}: {what}")

    # -------------------------------------------------------------- Optuna's plots

    def history(self, metric: str | None = None) -> go.Figure:
        """Show every trial's score and the best so far, in the order in which the trials ended.

        Parameters
        ----------
        metric : str, default=None
            One of the study's; None is ``study.refit``.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        chosen = self._select("history", metric).in_order()
        title = self._title(f"{chosen.metric} as trials ended")
        if not chosen.trials:
            return nothing(title, _NO_SCORE)
        from optuna.visualization import plot_optimization_history

        figure = plot_optimization_history(chosen.study(), target_name=chosen.metric)
        numbers = [trial._trial_id for trial in chosen.trials]
        ended = list(range(1, len(numbers) + 1))
        many = len(numbers) > _WEBGL_POINTS
        figure.data[0].update(
            x=ended,
            customdata=numbers,
            hovertemplate="trial %{customdata}: %{y:.4f}<extra></extra>",
            name="trial",
            marker={"color": BLUE, "opacity": 0.25 if many else 0.45, "size": 3 if many else 5},
        )
        figure.data[1].update(
            x=ended,
            name="best so far",
            mode="lines",
            line={"color": BLUE, "shape": "hv", "width": 2.5},
            hovertemplate="best so far: %{y:.4f}<extra></extra>",
        )
        figure.update_xaxes(title="trials with a score, as they ended").update_yaxes(title=safe(chosen.metric))
        return finish(_quick(figure), title, chosen.note, legend=True)

    def parallel(
        self, params: Sequence[str] | None = None, metric: str | None = None, estimator: str | None = None
    ) -> go.Figure:
        """Show each trial as a line through its parameters, coloured by its score.

        Parameters
        ----------
        params : sequence of str, default=None
            Parameters to show; None is those that all trials have.
        metric : str, default=None
            One of the study's; None is ``study.refit``.
        estimator : str, default=None
            Only trials of this class, such as ``"XGBClassifier"``, with all its parameters.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        chosen = self._select("parallel", metric)
        title = self._title(f"parameters and {chosen.metric}")
        if not chosen.trials:
            return nothing(title, _NO_SCORE)
        chosen = chosen.by(params, estimator).thinned(_PARALLEL_TRIALS).best_last()
        from optuna.visualization import plot_parallel_coordinate

        figure = plot_parallel_coordinate(chosen.study(), list(chosen.params), target_name=chosen.metric)
        return finish(figure, title, chosen.note)

    def importance(
        self, params: Sequence[str] | None = None, metric: str | None = None, estimator: str | None = None
    ) -> go.Figure:
        """Show how much of the variance of the scores each parameter explains.

        Parameters
        ----------
        params, metric, estimator
            As in `parallel`.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        chosen = self._select("importance", metric)
        title = self._title(f"what {chosen.metric} depends on")
        if not chosen.trials:
            return nothing(title, _NO_SCORE)
        chosen = chosen.by(params, estimator).thinned(_IMPORTANCE_TRIALS)
        if len({trial.values[0] for trial in chosen.trials}) < 2:
            return nothing(title, "importances need trials with different scores")
        from optuna.importance import FanovaImportanceEvaluator
        from optuna.visualization import plot_param_importances

        figure = plot_param_importances(
            chosen.study(), FanovaImportanceEvaluator(seed=0), list(chosen.params), target_name=chosen.metric
        )
        figure.update_traces(marker_color=BLUE, width=0.6)
        figure.update_xaxes(title="share of the variance explained", tickformat=".0%").update_yaxes(title=None)
        return finish(figure, title, chosen.note, height=_FRAME + _BAR * max(len(chosen.params), 3))

    def slice(
        self, params: Sequence[str] | None = None, metric: str | None = None, estimator: str | None = None
    ) -> go.Figure:
        """Show the scores over each single parameter.

        Parameters
        ----------
        params, metric, estimator
            As in `parallel`.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        chosen = self._select("slice", metric)
        title = self._title(f"{chosen.metric} over each parameter")
        if not chosen.trials:
            return nothing(title, _NO_SCORE)
        chosen = chosen.by(params, estimator).thinned(_SLICE_TRIALS)
        chosen = chosen if params is not None else chosen.first(_SLICE_PARAMS)
        from optuna.visualization import plot_slice

        return finish(
            _quick(plot_slice(chosen.study(), list(chosen.params), target_name=chosen.metric)), title, chosen.note
        )

    def contour(
        self, params: Sequence[str] | None = None, metric: str | None = None, estimator: str | None = None
    ) -> go.Figure:
        """Show the scores over each pair of parameters, as a map.

        Parameters
        ----------
        params, metric, estimator
            As in `parallel`; at least two parameters.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        chosen = self._select("contour", metric)
        from producer.views.plots.selection import differ

        title = self._title(f"{chosen.metric} over pairs of parameters")
        if not chosen.trials:
            return nothing(title, _NO_SCORE)
        chosen = chosen.by(params, estimator).thinned(_CONTOUR_TRIALS)
        chosen = chosen if params is not None else chosen.first(_CONTOUR_PARAMS)
        if sum(differ(name, chosen.trials) for name in chosen.params) < 2:
            return nothing(title, "a contour plot needs two parameters with different values among the trials")
        from optuna.visualization import plot_contour

        figure = plot_contour(chosen.study(), list(chosen.params), target_name=chosen.metric)
        return finish(figure, title, chosen.note, height=_FRAME + max(_MAP * len(chosen.params), 340))

    # ------------------------------------------------------------------ our plots

    def timeline(self) -> go.Figure:
        """Show each worker's fits over time: coloured by estimator, failures red, evictions marked.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        require("study.plot.timeline()", "plotly")
        from producer.views.plots.timeline import FIELDS, timeline

        found = list(self._study.trials.of(FIELDS))
        return timeline(found, self._title("fits of each worker"))

    def scores(self, n: int = 10, metric: str | None = None) -> go.Figure:
        """Show the scores of the best trials in each fold.

        Parameters
        ----------
        n : int, default=10
            Most trials to show.
        metric : str, default=None
            One of the study's; None is ``study.refit``.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        require("study.plot.scores()", "plotly")
        from producer.views.plots.fold_scores import best_by, spread

        wanted, trials = best_by(self._study, n, metric)
        title = self._title(f"{wanted} of each fold, best trials first")
        return spread(trials, wanted, title) if trials else nothing(title, _NO_SCORE)


def _quick(figure: go.Figure) -> go.Figure:
    """Let WebGL draw the points of a figure if there are many."""
    import plotly.graph_objects as go

    if sum(len(trace.x) for trace in figure.data if trace.x is not None) < _WEBGL_POINTS:
        return figure
    traces: list[Any] = []
    for trace in figure.data:
        if trace.type == "scatter" and trace.mode == "markers":
            fields = trace.to_plotly_json()
            del fields["type"]
            traces.append(go.Scattergl(fields))
        else:
            traces.append(trace)
    # Keeps the layout, with its subplots.
    return go.Figure(data=traces, layout=figure.layout)
