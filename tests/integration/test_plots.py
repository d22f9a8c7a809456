"""The pictures of a study on a real database: of much, of little and of nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import plotly.graph_objects as go
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from submitting import X, Y, submit_trees
from viewed import result, write, write_some

from producer import Study, submit
from producer.views import optional_packages
from producer.views.plots import plots, timeline
from warren.errors import InputError
from warren.storage.documents import now
from warren.storage.store import Store

OPTUNAS = ("history", "parallel", "importance", "slice", "contour")
ALL = (*OPTUNAS, "timeline", "scores")

TWO = [
    {"estimator": [DecisionTreeClassifier()], "max_depth": [1, 2, None], "criterion": ["gini", "entropy"]},
    {"estimator": [LogisticRegression()], "C": [0.1, 1.0, 10.0], "fit_intercept": [True, False]},
]


def submit_two(**options: Any) -> Study:
    return submit(None, TWO, X, Y, cv=3, scoring=["roc_auc", "accuracy"], **options)


def estimators(study: Study) -> list[str]:
    """Return the class of each trial of `TWO`."""
    return [type(point["estimator"]).__name__ for point in study.space]


def write_two(store: Store, study: Study) -> None:
    end = now()
    write(
        store,
        study,
        [
            result(study, number, end + timedelta(seconds=number), estimator=name)
            for number, name in enumerate(estimators(study))
        ],
    )


def texts(figure: go.Figure) -> str:
    """Return what a figure says in words."""
    title = figure.layout.title
    notes = [annotation.text for annotation in figure.layout.annotations]
    return " | ".join(str(part) for part in (title.text, title.subtitle.text, *notes))


@pytest.mark.parametrize("n", [0, 1, 2, 12])
def test_every_picture_can_be_drawn_of_any_number_of_trials(n: int, store: Store) -> None:
    study = submit_trees()  # max_depth is a number or None
    if n:
        write_some(store, study, range(n))
    for picture in ALL:
        figure = getattr(study.plot, picture)()
        assert isinstance(figure, go.Figure), picture
        assert study.name in texts(figure), picture
        assert figure.to_json(), picture
        if n == 12:
            assert figure.data, picture
        if n == 0:
            assert "yet" in texts(figure), picture


def test_every_picture_can_be_drawn_of_failures_alone_and_among_others(store: Store) -> None:
    study = submit_trees()
    write_some(store, study, [0, 1], state="FAILED")
    for picture in ALL:
        assert getattr(study.plot, picture)().to_json(), picture
    write_some(store, study, range(2, 8))
    for picture in ALL:
        figure = getattr(study.plot, picture)()
        assert figure.data, picture
        if picture in OPTUNAS:
            assert "2 failed trials left out" in texts(figure), picture


@pytest.mark.parametrize("picture", OPTUNAS)
def test_estimators_with_no_parameter_in_common_are_drawn_one_at_a_time(picture: str, store: Store) -> None:
    study = submit_two()
    write_two(store, study)
    figure = getattr(study.plot, picture)()
    assert figure.data
    if picture != "history":
        best = study.best_trials(1)[0]["estimator"]
        assert f"only {best}" in texts(figure)
        other = {"DecisionTreeClassifier", "LogisticRegression"} - {best}
        assert "only " + other.copy().pop() in texts(getattr(study.plot, picture)(estimator=other.pop()))


def test_history_is_in_the_order_in_which_trials_ended(store: Store) -> None:
    study = submit_trees()
    end = now()
    write(store, study, [result(study, number, end - timedelta(seconds=number)) for number in (0, 4, 9)])
    points, best = study.plot.history().data[:2]
    assert list(points.customdata) == [9, 4, 0]
    assert list(points.x) == [1, 2, 3]
    assert list(best.y) == [max(points.y[: place + 1]) for place in range(3)]


@pytest.mark.parametrize("picture", ["history", "parallel", "importance", "slice", "contour", "scores"])
def test_a_picture_is_of_the_metric_that_is_asked_for(picture: str, store: Store) -> None:
    study = submit_two()
    write_two(store, study)
    assert "roc_auc" in texts(getattr(study.plot, picture)())
    figure = getattr(study.plot, picture)(metric="accuracy")
    assert "accuracy" in texts(figure)
    with pytest.raises(InputError, match=r"metric='f1': the study has 'roc_auc', 'accuracy'"):
        getattr(study.plot, picture)(metric="f1")


def test_scores_shows_the_folds_of_the_best_first(store: Store) -> None:
    study = submit_two()
    write_two(store, study)
    for metric in ("roc_auc", "accuracy"):
        figure = study.plot.scores(3, metric=metric)
        means = [sum(trace.x) / 3 for trace in figure.data]
        assert len(means) == 3
        assert means == sorted(means, reverse=True)
        assert means[0] == pytest.approx(study.results()[f"mean_test_{metric}"].max())
    with pytest.raises(InputError, match="n=0: give the number of trials"):
        study.plot.scores(0)


def test_a_parameter_or_an_estimator_that_is_not_there_is_refused_with_the_nearest(store: Store) -> None:
    study = submit_two()
    write_two(store, study)
    with pytest.raises(InputError, match="no trial with a score has 'max_dept'; the closest name is 'max_depth'"):
        study.plot.slice(params=["max_dept"])
    with pytest.raises(InputError, match=r"params=\['C', 'max_depth'\]: no trial has all of them"):
        study.plot.contour(params=["C", "max_depth"])
    with pytest.raises(
        InputError, match="estimator='SVC': no trial with a score has it; choose from DecisionTreeClassifier, Logistic"
    ):
        study.plot.parallel(estimator="SVC")


def test_a_map_needs_two_parameters_that_differ(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    study = submit_trees()
    write_some(store, study, [0])
    for params in (None, list(study.space[0])):
        assert "a contour plot needs two parameters with different values" in texts(study.plot.contour(params))
    assert "[W " not in capfd.readouterr().err, "Optuna has nothing to warn of"


def test_a_picture_of_some_of_the_trials_says_so_and_has_the_best(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "_SLICE_TRIALS", 4)
    study = submit_trees()
    write_some(store, study, range(12))
    figure = study.plot.slice(params=["max_depth"])
    assert "4 of 12 trials: the best 1 and a sample of the others" in texts(figure)
    assert max(figure.data[0].y) == study.best_score_
    again = study.plot.slice(params=["max_depth"])
    assert list(again.data[0].y) == list(figure.data[0].y), "the same sample each time"


# ---------------------------------------------------------------------------- workers


def bars(figure: go.Figure) -> dict[str, list[str]]:
    """Return the workers of the bars, by kind."""
    return {trace.name: list(trace.y) for trace in figure.data if trace.type == "bar"}


def test_a_timeline_has_a_bar_a_fit_and_failures_apart(store: Store) -> None:
    study = submit_trees()
    end = now()
    write(
        store,
        study,
        [
            result(study, 0, end, worker="node-10"),
            result(study, 1, end, worker="node-9"),
            # They began together: one fit.
            result(study, 2, end, worker="node-9", shared_by=2),
            result(study, 3, end, worker="node-9", state="FAILED", seconds=9.0),
        ],
    )
    figure = study.plot.timeline()
    assert bars(figure) == {"DecisionTreeClassifier": ["node-10", "node-9"], "failed": ["node-9"]}
    assert list(figure.layout.yaxis.categoryarray) == ["node-10", "node-9"], "from below: 9 is above 10"


def test_a_timeline_marks_who_left_and_who_was_evicted(store: Store) -> None:
    study = submit_trees()
    end = now()
    gone = [result(study, number, end + timedelta(seconds=number), worker="node-0", seconds=1.0) for number in (1, 2)]
    rest = [
        result(study, number, end + timedelta(seconds=number), worker="node-1", seconds=1.0) for number in range(3, 9)
    ]
    rest[0]["interrupted"] = [{"worker": "node-0", "at": end + timedelta(seconds=2.5)}]
    write(store, study, gone + rest)
    marks = {trace.name: list(trace.y) for trace in study.plot.timeline().data if trace.type == "scatter"}
    assert marks == {"last result of a lost worker": ["node-0"], "interrupted here, continued later": ["node-0"]}


def test_workers_that_have_nothing_left_to_do_did_not_leave(store: Store) -> None:
    study = submit_trees()
    end = now()
    early = [result(study, number, end, worker="node-0", seconds=1.0) for number in (0, 1)]
    # It began while the other was at work still.
    late = result(study, 2, end + timedelta(seconds=60), worker="node-1", seconds=60.5)
    write(store, study, [*early, late])
    assert [trace.type for trace in study.plot.timeline().data] == ["bar"]


def test_a_timeline_of_many_fits_draws_neighbours_as_one_and_says_so() -> None:
    end = now()
    trials = [
        {
            "number": number,
            "state": "COMPLETE",
            "estimator": "Tree",
            "worker": f"node-{number % 7}",
            "started_at": end + timedelta(seconds=number / 10),
            "finished_at": end + timedelta(seconds=number / 10 + 0.5),
        }
        for number in range(26_160)
    ]
    figure = timeline.timeline(trials, "many")
    assert sum(len(trace.y) for trace in figure.data if trace.type == "bar") <= 3_100
    assert "26,160 fits: those that a worker began within 6.1 s are one bar" in texts(figure)


def test_names_are_never_markup(store: Store) -> None:
    study = submit_trees(name="<b>bold</b>")
    write_some(store, study, range(3), worker="<i>w</i>")
    for picture in ALL:
        shown = getattr(study.plot, picture)().to_json().replace("\\u003c", "<")
        assert "<b>bold" not in shown
        assert "<i>w" not in shown


def test_a_package_that_is_missing_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    study = submit_trees()
    with pytest.raises(
        InputError, match=r"study\.plot\.history\(\) needs optuna and plotly: pip install optuna plotly"
    ):
        study.plot.history()
    with pytest.raises(InputError, match=r"study\.plot\.timeline\(\) needs plotly: pip install plotly"):
        study.plot.timeline()
