"""Makes the train and test indices of a study once, exactly as scikit-learn's ``GridSearchCV``."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    check_cv,
    train_test_split,
)

from producer.formatting import short
from warren.errors import InputError
from warren.storage.dataset import Indices, Matrix, Split

_GROUPED = (GroupKFold, GroupShuffleSplit, LeaveOneGroupOut, LeavePGroupsOut, StratifiedGroupKFold)


def make_splits(
    cv: Any, X: Matrix, y: NDArray[Any] | None, groups: NDArray[Any] | None, *, classifier: bool
) -> list[Split]:
    """Make the folds of a study.

    Parameters
    ----------
    cv : None, int, splitter, or iterable of (train, test)
        As for `sklearn.model_selection.GridSearchCV`; None is 5. Pairs hold indices or boolean
        masks.
    X, y, groups
        As `producer.validation.prepare` returned them.
    classifier : bool
        Whether an integer `cv` means stratified folds.

    Returns
    -------
    list of (train, test)
        Indices, ndarrays of int64.

    Raises
    ------
    InputError
        There are fewer than two splits or members of a class, a splitter lacks its groups, or an
        index is invalid.
    """
    shown = f"cv={short(cv)}"
    splitter = _splitter(cv, y, shown, classifier=classifier)
    if groups is None and isinstance(splitter, _GROUPED):
        raise InputError(f"{shown} needs groups: pass groups=..., one label per row of X")
    _check_smallest_class(splitter, y, shown)
    if getattr(splitter, "random_state", 0) is None and getattr(splitter, "shuffle", True):
        warnings.warn(
            f"{shown} draws different splits each time, so submitting again makes a new study and resumes nothing: "
            "set random_state",
            stacklevel=3,
        )
    try:
        pairs = [(train, test) for train, test in splitter.split(X, y, groups)]
    except (ValueError, TypeError) as exc:
        raise InputError(f"{shown}: {exc}") from exc
    if not pairs:
        raise InputError(f"{shown} makes no split: it needs at least one")
    rows = int(X.shape[0])
    return [
        (_side(train, f"{shown}: fold {fold}, train", rows), _side(test, f"{shown}: fold {fold}, test", rows))
        for fold, (train, test) in enumerate(pairs)
    ]


def make_validation(
    fraction: float,
    splits: list[Split],
    cv: Any,
    y: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    *,
    classifier: bool,
) -> list[Split]:
    """Split off a share of each fold's training part as validation data for early stopping.

    Parameters
    ----------
    fraction : float
        The share, between 0 and 1.
    splits : list of (train, test)
        The result of `make_splits` for `cv`.
    cv, y, groups, classifier
        As for `make_splits`. Classes keep their shares, groups stay together, and a
        `TimeSeriesSplit` splits off the last rows; otherwise rows are drawn with a fixed seed.

    Returns
    -------
    list of (train, validation)
        Indices, ndarrays of int64; together they are the training part of their fold.

    Raises
    ------
    InputError
        It leaves a side without rows or a class without members.
    """
    shown = f"validation_fraction={short(fraction)}"
    found = []
    for number, (train, _) in enumerate(splits):
        where = f"{shown}: fold {number}"
        try:
            if isinstance(cv, TimeSeriesSplit):
                pair = train_test_split(train, test_size=fraction, shuffle=False)
            elif groups is not None:
                cut = GroupShuffleSplit(1, test_size=fraction, random_state=0)
                pair = [train[side] for side in next(cut.split(train, groups=groups[train]))]
            else:
                strata = y[train] if classifier and y is not None and y.ndim == 1 else None
                pair = train_test_split(train, test_size=fraction, random_state=0, stratify=strata)
        except ValueError as exc:
            raise InputError(f"{where}: {' '.join(str(exc).split())}") from exc
        fit, watched = (np.sort(side) for side in pair)
        found.append((fit, watched))
    return found


def _splitter(cv: Any, y: NDArray[Any] | None, shown: str, *, classifier: bool) -> Any:
    if isinstance(cv, (bool, np.bool_, str, bytes)):
        raise InputError(f"{shown}: pass a number of splits, a splitter, or pairs of train and test indices")
    if isinstance(cv, numbers.Integral) and cv < 2:
        raise InputError(f"{shown}: needs at least 2 splits")
    if isinstance(cv, type):
        raise InputError(f"{shown} is a class: pass an instance: {cv.__name__}()")
    try:
        return check_cv(cv, y, classifier=classifier)
    except (ValueError, TypeError) as exc:
        raise InputError(f"{shown}: {exc}") from exc


def _check_smallest_class(splitter: Any, y: NDArray[Any] | None, shown: str) -> None:
    """Refuse more stratified folds than a class has members; scikit-learn would only warn."""
    if isinstance(splitter, (StratifiedKFold, StratifiedGroupKFold)):
        n_splits = splitter.n_splits
    elif isinstance(splitter, RepeatedStratifiedKFold):
        n_splits = splitter.cvargs["n_splits"]
    else:
        return
    if y is None:
        raise InputError(f"{shown} is stratified by class and needs y")
    if (y.ndim > 1 and y.shape[1] > 1) or (y.dtype.kind == "f" and (y % 1).any()):
        return  # no classes: the splitter raises the error itself
    classes, counts = np.unique(y, return_counts=True)
    if n_splits > counts.min():
        raise InputError(
            f"{shown}: {n_splits} splits need {n_splits} members of each class, and class "
            f"{classes[counts.argmin()].item()!r} has {counts.min()}; use cv={max(int(counts.min()), 2)} or fewer, "
            "or KFold"
        )


def _side(indices: Any, where: str, rows: int) -> Indices:
    array = np.asarray(indices)
    if array.ndim != 1:
        raise InputError(f"{where}: indices of shape {array.shape}; pass a flat list")
    if array.dtype.kind == "b":
        if len(array) != rows:
            raise InputError(f"{where}: a mask of {len(array)} entries for {rows} rows; pass one entry per row")
        array = np.flatnonzero(array)
    if not len(array):
        raise InputError(f"{where} is empty: each fold needs rows to train on and rows to test on")
    if array.dtype.kind not in "iu":
        raise InputError(f"{where}: indices of dtype {array.dtype}; pass integers, counted from 0")
    if array.min() < 0 or array.max() >= rows:
        wrong = array.min() if array.min() < 0 else array.max()
        raise InputError(f"{where}: index {wrong} is out of range for {rows} rows, 0 to {rows - 1}")
    return np.ascontiguousarray(array, dtype=np.int64)
