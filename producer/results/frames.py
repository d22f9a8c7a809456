"""The results as a data frame, and as scikit-learn's ``cv_results_``."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from warren.errors import NoResultError, StudyError, TrialError
from warren.messages import Objective
from warren.printable import printable
from warren.storage.results_table import schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from producer.space.space import Space
    from warren.storage.own_trials import OwnTrials
    from warren.storage.store import Store

_FIRST_COLUMNS = ("number", "state", "estimator")
_LAST_COLUMNS = (
    "fit_seconds",
    "score_seconds",
    "saved_seconds",
    "shared_by",
    "mean_best_iteration",
    "error",
    "output",
    "worker",
    "device",
    "attempts",
    "started_at",
    "finished_at",
)

# Text columns, which are made printable because terminals show them unchanged.
_PROSE = ("state", "estimator", "error", "output", "worker", "device")

# Failures are counted by their reason, without the fold that failed first.
_FOLD = re.compile(r"^fold \d+: ")
# Most reasons in a warning, the most frequent first.
_MOST_REASONS = 10


def _rank(means: NDArray[np.float64]) -> NDArray[np.int32]:
    """Rank scores as scikit-learn does: 1 is best, ties share a rank, failures come last."""
    if len(means) == 0 or np.isnan(means).all():
        return np.ones(len(means), dtype=np.int32)
    filled = np.where(np.isnan(means), np.nanmin(means) - 1, means)
    return rankdata(-filled, method="min").astype(np.int32)  # type: ignore[no-any-return]  # SciPy has no types


def _matrix(table: pa.Table, name: str, n_splits: int) -> NDArray[np.float64]:
    """Return a column with a number per fold as an array of shape (n_trials, n_splits)."""
    column = table.column(name)
    if column.null_count:
        numbers = table.column("number").filter(column.is_null()).to_pylist()
        raise StudyError(f"trial {numbers[0]} has no {name!r} in its document: was it changed by hand?")
    values: NDArray[np.float64] = column.combine_chunks().flatten().to_numpy()
    return values.reshape(-1, n_splits)


def _statistics(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation over the folds, as scikit-learn computes them."""
    # Equals its np.average bit for bit, which would divide by zero while no trial has ended.
    means = scores.mean(axis=1)
    return means, np.sqrt(((scores - means[:, np.newaxis]) ** 2).mean(axis=1))


def _score_columns(table: pa.Table, objective: Objective) -> dict[str, NDArray[Any]]:
    """Return the scores of every part and metric by scikit-learn's column names."""
    columns: dict[str, NDArray[Any]] = {}
    for name in objective.parts:
        scores = _matrix(table, f"split_{name}", objective.n_splits)
        columns |= {f"split{fold}_{name}": scores[:, fold] for fold in range(objective.n_splits)}
        columns[f"mean_{name}"], columns[f"std_{name}"] = _statistics(scores)
        if name.startswith("test_"):
            columns[f"rank_{name}"] = _rank(columns[f"mean_{name}"])
    return columns


def _param_columns(candidates: Sequence[Mapping[str, Any]]) -> dict[str, np.ma.MaskedArray[Any, Any]]:
    """Return a masked array per parameter, masked where a trial lacks it."""
    columns = {}
    for name in dict.fromkeys(chain.from_iterable(candidates)):
        found = [params[name] for params in candidates if name in params]
        try:
            array = np.array(found)
        except ValueError:  # lists of different lengths
            array = np.empty(0, dtype=object)
        if array.dtype.kind in "UO" or array.ndim != 1:
            # Text stays in objects, and a list stays one value of a trial.
            array = np.empty(len(found), dtype=object)
            for place, value in enumerate(found):
                array[place] = value
        column: np.ma.MaskedArray[Any, Any] = np.ma.MaskedArray(np.empty(len(candidates), dtype=array.dtype), mask=True)
        column[[name in params for params in candidates] if len(found) < len(candidates) else slice(None)] = array
        columns[f"param_{name}"] = column
    return columns


def results_frame(table: pa.Table, space: Space, objective: Objective) -> pd.DataFrame:
    """Return one row per ended trial, sorted by number.

    Parameters
    ----------
    table : pyarrow.Table
        Results by number: `warren.storage.store.Store.results`.
    space : Space
        Has each trial's parameters as the user wrote them.
    objective : Objective

    Returns
    -------
    pandas.DataFrame
        See `producer.study.Study.results`.
    """
    import pandas as pd

    candidates = list(space.at(table.column("number").to_pylist()))
    columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in _FIRST_COLUMNS}
    columns["params"] = candidates
    for name, column in _param_columns(candidates).items():
        # Parameters that a trial lacks become None; complete columns keep their dtype.
        values = column.data
        if column.mask.any():
            values = values.astype(object)
            values[column.mask] = None
        columns[name] = values
    columns |= _score_columns(table, objective)
    columns |= {name: table.column(name).to_numpy() for name in _LAST_COLUMNS}
    for name in _PROSE:
        columns[name] = [printable(text) if isinstance(text, str) else text for text in columns[name]]
    frame = pd.DataFrame(columns)
    for name in ("started_at", "finished_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.set_index("number", drop=False).rename_axis(None)


def cv_results(
    table: pa.Table,
    space: Space,
    objective: Objective,
    candidates: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return what ``GridSearchCV.cv_results_`` holds for the same candidates.

    Parameters
    ----------
    table : pyarrow.Table
        Results of every point of `space`, by number.
    space : Space
    objective : Objective
    candidates : sequence of dict, default=None
        The ``params`` of every point of `space`, in its order; None uses the points.

    Returns
    -------
    dict of str to ndarray
        Names, shapes and dtypes are scikit-learn's; times are in seconds. ``params`` is a list of
        dicts.

    Raises
    ------
    TrialError
        Every fit failed, or one failed and the study's ``error_score`` is "raise".

    Warns
    -----
    FitFailedWarning
        Some fits failed; their scores are ``error_score``.
    UserWarning
        Scores could not be computed, or a mean is not finite.
    """
    _report_failures(table, objective)
    candidates = list(space) if candidates is None else candidates
    results: dict[str, Any] = {}
    for name in ("fit", "score"):
        seconds = _matrix(table, f"split_{name}_seconds", objective.n_splits)
        results[f"mean_{name}_time"], results[f"std_{name}_time"] = _statistics(seconds)
    scores = _score_columns(table, objective)
    _report_means(scores, objective)
    return results | _param_columns(candidates) | {"params": candidates} | scores


def _report_failures(table: pa.Table, objective: Objective) -> None:
    """Warn of failures, or raise, with scikit-learn's messages."""
    errors = table.select(["number", "error", "failed_fits"])
    failed = errors.filter(errors.column("error").is_valid()).to_pylist()
    if not failed:
        return
    if objective.error_score == "raise":
        raise TrialError(
            f'{len(failed)} of {table.num_rows} trials failed and error_score="raise"; '
            f"the first is trial {failed[0]['number']}: {failed[0]['error']}"
        )
    fits: Counter[str] = Counter()
    scores: Counter[str] = Counter()
    for row in failed:
        reason = _FOLD.sub("", row["error"])
        if row["failed_fits"]:
            fits[reason] += row["failed_fits"]
        else:
            scores[reason] += 1
    for reason, count in scores.most_common(_MOST_REASONS):
        _warn(
            f"Scoring failed in {count} trials. The score on these train-test partitions for these parameters will be "
            f"set to {objective.error_score}. Details: \n{reason}",
            UserWarning,
        )
    if not fits:
        return
    details = "\n".join(
        f"{'-' * 80}\n{count} fits failed with the following error:\n{reason}"
        for reason, count in fits.most_common(_MOST_REASONS)
    )
    if len(fits) > _MOST_REASONS:
        details += f"\nand {len(fits) - _MOST_REASONS} other errors: the study's results() has them all"
    n_fits, n_failed = table.num_rows * objective.n_splits, fits.total()
    if n_failed == n_fits:
        raise TrialError(
            f"\nAll the {n_fits} fits failed.\nIt is very likely that your model is misconfigured.\n"
            "You can try to debug the error by setting error_score='raise'.\n\n"
            f"Below are more details about the failures:\n{details}"
        )
    _warn(
        f"\n{n_failed} fits failed out of a total of {n_fits}.\n"
        "The score on these train-test partitions for these parameters"
        f" will be set to {objective.error_score}.\n"
        "If these failures are not expected, you can try to debug them by setting error_score='raise'.\n\n"
        f"Below are more details about the failures:\n{details}",
        FitFailedWarning,
    )


def _report_means(columns: Mapping[str, NDArray[Any]], objective: Objective) -> None:
    """Warn of means that are not finite, with scikit-learn's message."""
    for name in objective.parts:
        means = columns[f"mean_{name}"]
        if not np.isfinite(means).all():
            _warn(f"One or more of the {name.partition('_')[0]} scores are non-finite: {means}", UserWarning)


def _warn(text: str, category: type[Warning]) -> None:
    # The warning should point to the line that reads cv_results_ or calls fit, six frames up.
    warnings.warn(printable(text), category, stacklevel=6)


def read_cv_results(
    store: Store,
    trials: OwnTrials,
    space: Space,
    objective: Objective,
    candidates: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Read the results of an ended study in the form of ``GridSearchCV.cv_results_``.

    Parameters
    ----------
    store : Store
    trials : OwnTrials
        The study's trials.
    space : Space
    objective : Objective
    candidates : sequence of dict, default=None
        The ``params`` of every point of `space`; None uses the points.

    Returns
    -------
    dict of str to ndarray
        See `cv_results`.

    Raises
    ------
    NoResultError
        Some trials have not ended.
    TrialError
        Every fit failed, or one failed and the study's ``error_score`` is "raise".
    """
    table = store.results(trials, schema(objective.parts))
    if table.num_rows < space.size:
        others = trials.expected.skipped
        skipped = f" ({others:,} documents that are not this study's were skipped: see the log)" if others else ""
        way_out = "retry_failed() deletes those and trains their trials again" if others else "wait() for them"
        raise NoResultError(
            f"study {trials.expected.study_id}: {table.num_rows:,} of {space.size:,} trials have ended{skipped}, and "
            f"cv_results_ needs all: {way_out}, or see results()"
        )
    return cv_results(table, space, objective, candidates)
