"""Prints the best trials of a study as a table, and why others failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from producer.cli.output import Column, heading, say, show_params, table
from producer.formatting import plural, show_score
from warren.storage.documents import OUTPUT_LINES, end_of_output

if TYPE_CHECKING:
    from producer.results.status import Status
    from producer.study import Study
    from warren.storage.documents import Document

# Most reasons in a summary of failures; the rest is only counted.
_REASONS = 3


def metrics_of(trial: Mapping[str, Any]) -> list[str]:
    """Return the metrics of a trial document in the user's order; ``score`` if it has no name."""
    names = [name.removeprefix("mean_test_") for name in trial if name.startswith("mean_test_")]
    # With named metrics, ``score`` repeats the metric that ranks the trials.
    return [name for name in names if name != "score"] or ["score"]


def print_trials(study: Study, trials: Sequence[Document]) -> None:
    """Print trial documents: number, model, scores, fit seconds and parameters."""
    metrics = metrics_of(trials[0])
    columns = [
        Column("trial", "right"),
        Column("model"),
        *(Column(metric, "right") for metric in metrics),
        Column("fit s", "right"),
        Column("parameters"),
    ]
    rows = []
    for trial in trials:
        scores = [
            show_score(trial.get(f"mean_test_{name}"), trial.get(f"std_test_{name}"), none="-") for name in metrics
        ]
        params = show_params(study.own_params(trial))
        rows.append([str(trial["number"]), trial["estimator"], *scores, f"{trial['fit_seconds']:.2f}", params])
    table(columns, rows)


def print_leaderboard(study: Study, status: Status, top: int) -> None:
    """Print a study's summary, its best trials, and why trials failed.

    Parameters
    ----------
    study : Study
    status : Status
        The status of `study`.
    top : int
        Number of trials; 0 is all.
    """
    heading(summary(status))
    if status.versions_text:
        say(f"Versions differ: {status.versions_text}")
    trials = study.best_trials(top or status.total)
    if trials:
        print_trials(study, trials)
    else:
        say("no trial is complete yet")
    if status.failed:
        print_failures(study, status)


def summary(status: Status) -> str:
    """Return a study's summary in one line."""
    spent = status.fit_seconds + status.score_seconds
    return (
        f"{status.name} ({status.id}): {status.state}, {status.done:,} of {plural(status.total, 'trial')}"
        + (f", {status.failed:,} failed" if status.failed else "")
        + f", {spent:,.0f} s of computing"
        + (f", {status.saved_seconds:,.0f} s saved" if status.saved_seconds >= 1 else "")
        + (f"; {status.dead_text}" if status.dead else "")
    )


def print_failures(study: Study, status: Status) -> None:
    """Print the commonest reasons of failure, each with an example."""
    frame = study.results()
    failed = frame[frame["state"] == "FAILED"]
    reasons = Counter(str(error) for error in failed["error"])
    say(f"{plural(status.failed, 'trial')} failed:")
    for reason, count in reasons.most_common(_REASONS):
        example = failed[failed["error"] == reason].iloc[0]
        say(f"  {count:,} x, such as trial {example['number']}: {reason}")
        for line in end_of_output({"output": example.get("output")}, OUTPUT_LINES):
            say(f"    it printed: {line}")
    if len(reasons) > _REASONS:
        say(f"  and {plural(len(reasons) - _REASONS, 'more reason')}: warren results {status.id} --json")
    say(f"try them again with: warren retry {status.id}")
