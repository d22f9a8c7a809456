"""Converts X, y, sample weights and groups to a form that can be sent exactly, or refuses them.

Everything that an estimator could notice stays: types, dtypes, memory order, categories, missing
values and row labels. Data that only a certain estimator can't use is left to the estimator.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray
from sklearn.utils.multiclass import type_of_target

from producer.formatting import listing, short
from producer.validation.estimators import Candidates, needs_y, takes_weights
from producer.validation.frame_columns import (
    check_carried,
    check_column,
    check_labels,
    check_name,
    checked_frame,
    is_long,
)
from producer.validation.parameter_names import library
from warren.errors import InputError
from warren.libraries.registry import BOOSTING
from warren.storage.dataset import Dataset, Matrix, Target, digest

# NumPy's dtype kinds for bool, int, unsigned int and float; and for times, durations, complex
# numbers and bytes.
_NUMBERS, _OTHERS = "biuf", "mMcS"
# Images: rows, height, width and channels.
_MOST_DIMENSIONS = 4
# An array of texts may be larger than the texts by this factor, or have up to this number of
# characters.
_WASTED, _SMALL_TEXTS = 4, 2**20


class Prepared(NamedTuple):
    """Checked data.

    Attributes
    ----------
    dataset : Dataset
        The data to send.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        The labels as an array without dtype object, for splits and counts.
    groups : ndarray of shape (n_samples,) or None
        Group labels, for the splits.
    """

    dataset: Dataset
    y: NDArray[Any] | None
    groups: NDArray[Any] | None

    def values_digest(self, parts: Mapping[str, NDArray[Any]]) -> str | None:
        """Return the digest of the data without irrelevant parts, or None if there are none.

        Row numbers, and labels in a Series or list instead of an array, do not change a study's
        identity.

        Parameters
        ----------
        parts : mapping of str to ndarray
            The result of `warren.storage.dataset.dataset_parts` for the dataset.

        Returns
        -------
        str or None
        """
        rows = self.dataset.X.index if isinstance(self.dataset.X, pd.DataFrame) else None
        nothing = {"X_columns"} | ({"X_index"} if _is_count(rows) else set())
        kept = {name: part for name, part in parts.items() if name not in nothing}
        if self.y is not None and _is_flat(self.dataset.y, self.y, rows):
            kept = {name: part for name, part in kept.items() if not name.startswith("y")} | {"y": self.y}
        return None if kept.keys() == parts.keys() else digest(kept)


def _is_count(index: pd.Index[Any] | None) -> bool:
    """Return whether row labels are only numbers, as after ``train_test_split``."""
    return index is not None and index.nlevels == 1 and isinstance(index.dtype, np.dtype) and index.dtype.kind in "iu"


def _is_flat(y: Any, target: NDArray[Any], rows: pd.Index[Any] | None) -> bool:
    """Return whether labels have the same content as their array."""
    if isinstance(y, pd.Series):
        plain = y.dtype == target.dtype or (target.dtype.kind == "U" and not isinstance(y.dtype, pd.CategoricalDtype))
        return plain and (_is_count(y.index) or (rows is not None and y.index.equals(rows)))
    return isinstance(y, list) or (isinstance(y, np.ndarray) and target.dtype.kind == "U")


def prepare(X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, candidates: Candidates) -> Prepared:
    """Check data and convert it to the form that is sent.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        Or documents of shape (n_samples,), or images of shape (n_samples, height, width) or
        (n_samples, height, width, channels). Documents are a list, Series or array of text, with
        None or NaN for missing ones. Columns of a frame may have any dtype of pandas, and plain
        objects; sparse formats become CSR.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        Numbers or labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Finite and not negative.
    groups : array-like of shape (n_samples,), default=None
        For splitters that keep groups together.
    candidates : Candidates
        The estimators to fit.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        Data can't be sent or trained on; the message names it.
    """
    matrix = _matrix(X)
    target = None if y is None else _labels(y, "y", most_dimensions=2)
    weights = None if sample_weight is None else _weights(sample_weight)
    kept = None if groups is None else _labels(groups, "groups", most_dimensions=1)
    lengths = {
        name: int(part.shape[0])
        for name, part in (("X", matrix), ("y", target), ("sample_weight", weights), ("groups", kept))
        if part is not None
    }
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"lengths differ: {listed}; each needs one entry per row of X")
    _check_images(matrix, candidates)
    _check_target(target, candidates)
    if target is not None and candidates.kind == "classifier" and np.asarray(y).dtype == object:
        _check_objects(y, target, candidates)
    if weights is not None:
        for estimator in candidates.ends:
            if not takes_weights(estimator):
                raise InputError(f"sample_weight: {type(estimator).__name__}.fit accepts none; leave them out")
    dataset = Dataset(X=matrix, y=None if target is None else _as_sent(y, target), sample_weight=weights)
    check_carried(dataset)
    return Prepared(dataset, target, kept)


# ---------------------------------------------------------------------------------- X


def _matrix(X: Any) -> Matrix:
    if isinstance(X, pd.DataFrame):
        found: Matrix = _frame(X)
    elif scipy.sparse.issparse(X):
        found = _sparse(X)
    elif hasattr(X, "to_pandas"):
        raise InputError(f"X is a {type(X).__module__}.{type(X).__name__}: pass X.to_pandas()")
    else:
        found = _array(X)
    if found.shape[0] == 0:
        raise InputError("X has no rows")
    if 0 in found.shape[1:]:
        raise InputError("X has no columns" if len(found.shape) == 2 else f"X has shape {found.shape}: no pixels")
    return found


def _array(X: Any) -> NDArray[Any]:
    if (texts := _texts(X)) is not None:
        return texts
    array = _to_array(X, "X")
    if array.dtype == object and all(isinstance(value, (numbers.Real, np.bool_)) for value in array.ravel()):
        array = array.astype(np.float64)
    if array.dtype == object and array.ndim == 2:
        for position in range(array.shape[1]):
            check_column(pd.Series(array[:, position], dtype=object), f"column {position} of X", "X.astype(float)")
        return array
    if array.dtype.kind not in _NUMBERS + _OTHERS + "U" or is_long(array.dtype):
        raise InputError(f"X is an array of dtype {array.dtype}: pass numbers, such as X.astype(float)")
    if array.ndim == 1 and array.dtype.kind == "U":  # documents, for a vectoriser
        return array
    if not 2 <= array.ndim <= _MOST_DIMENSIONS:
        raise InputError(
            f"X has {array.ndim} dimension(s): it needs 2, rows and features; X.reshape(-1, 1) makes one feature. "
            f"Images have 3 or {_MOST_DIMENSIONS}: rows, height, width and channels"
        )
    return array


def _texts(X: Any) -> NDArray[Any] | None:
    """Return documents as an array, for a vectoriser; None if X is anything else."""
    if not (isinstance(X, (list, tuple, pd.Series)) or (isinstance(X, np.ndarray) and X.dtype.kind in "OT")):
        return None
    if isinstance(X, np.ma.MaskedArray):
        return None
    if isinstance(X, (list, tuple)) and not all(map(_is_text_or_missing, X)):
        return None  # check before making an array: NumPy converts numbers next to text to text
    array = np.asarray(X, dtype=object)
    if array.ndim != 1 or not all(map(_is_text_or_missing, array)) or not any(isinstance(text, str) for text in array):
        return None
    lengths = [len(text) if isinstance(text, str) else 0 for text in array]
    whole = all(isinstance(text, str) and not text.endswith("\x00") for text in array)
    # A NumPy text array gives each text the size of the longest, drops final NULs, and has no
    # missing values.
    small = max(lengths) * len(array) <= max(_WASTED * sum(lengths), _SMALL_TEXTS)
    if whole and small:
        return array.astype(str)
    found = np.empty(len(array), dtype=object)
    found[:] = [str(text) if isinstance(text, str) else text for text in array]
    return found


def _is_text_or_missing(value: Any) -> bool:
    return isinstance(value, str) or value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _sparse(X: Any) -> Matrix:
    if len(X.shape) != 2:
        raise InputError(f"X is sparse with {len(X.shape)} dimension(s): it needs 2, rows and features")
    if X.dtype.kind not in _NUMBERS + "c" or is_long(X.dtype):
        raise InputError(f"X is sparse with dtype {X.dtype}: pass real numbers, such as X.astype(float)")
    return X.tocsr()


def _to_array(values: Any, name: str) -> NDArray[Any]:
    """Return an ndarray without losing information, such as a mask or the type of a number."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"{name} is a masked array: pass {name}.filled(...) with a value for masked entries")
    try:
        array = np.asarray(values)
    except ValueError as exc:  # rows of different lengths
        raise InputError(f"{name} is not an array: {exc}") from exc
    if array.dtype.kind in "US" and isinstance(values, (list, tuple)):
        as_they_are = np.array(values, dtype=object).ravel()
        if not all(isinstance(value, str) for value in as_they_are):
            kinds = sorted({type(value).__name__ for value in as_they_are})
            raise InputError(f"{name} mixes {listing(kinds)}: NumPy would convert all to text; pass values of one type")
    if array.dtype.kind == "T":  # NumPy's variable-width strings, which .npz can't store
        array = array.astype(object)
    return array


def _frame(frame: pd.DataFrame) -> pd.DataFrame:
    if not len(frame):
        raise InputError("X has no rows")
    return checked_frame(frame, "X")


def _check_images(matrix: Matrix, candidates: Candidates) -> None:
    """Refuse images if an estimator accepts only two dimensions."""
    for estimator in candidates.estimators if len(matrix.shape) > 2 else ():
        if not _may_take_images(estimator):
            raise InputError(
                f"X has {len(matrix.shape)} dimension(s): {type(estimator).__name__} accepts 2, rows and features: "
                "pass X.reshape(len(X), -1); a KerasModel can use that, too, with builder='cnn' and "
                f"builder_params={{'image_shape': {[*matrix.shape[1:]]}}}"
            )


def _may_take_images(estimator: Any) -> bool:
    """Return whether an estimator, or one inside it, might accept more than two dimensions."""
    package = library(estimator)
    if package != "sklearn":
        return package not in BOOSTING
    inner = any(hasattr(value, "get_params") for value in estimator.get_params(deep=True).values())
    return inner or "Dummy" in type(estimator).__name__


# --------------------------------------------------------------------- y, weights, groups


def _labels(values: Any, name: str, *, most_dimensions: int) -> NDArray[Any]:
    """Return numbers or text as an ndarray without dtype object."""
    if scipy.sparse.issparse(values):
        raise InputError(f"{name} is sparse: pass {name}.toarray()")
    if isinstance(values, str) or not (hasattr(values, "__len__") or hasattr(values, "__array__")):
        raise InputError(f"{name}={short(values)}: pass a list or array with one entry per row of X")
    array = _to_array(values, name)
    if not 1 <= array.ndim <= most_dimensions or 0 in array.shape[1:]:
        raise InputError(f"{name} has shape {array.shape}: it needs one entry per row of X")
    if array.dtype == object or array.dtype.kind in "fc":
        _check_whole(array, name)
    if array.dtype == object:
        array = _typed(array, name)
    if array.dtype.kind not in _NUMBERS + "U" or is_long(array.dtype):
        raise InputError(f"{name} has dtype {array.dtype}: pass numbers, or labels as text with astype(str)")
    return array


def _as_sent(y: Any, target: NDArray[Any]) -> Target:
    """Return labels in the user's container and dtype, which an estimator may notice."""
    if isinstance(y, pd.DataFrame):
        return checked_frame(y, "y")
    if isinstance(y, pd.Series):
        check_column(y, "y", "y.astype(str)")
        check_labels(y.index, "y")
        check_name(y.name, "y", "y.rename(None)")
        return y
    if isinstance(y, pd.api.extensions.ExtensionArray):
        return y
    if isinstance(y, (list, tuple)):
        return target.tolist()
    array = np.asarray(y)
    return array if array.dtype == object else target


def _check_whole(array: NDArray[Any], name: str) -> None:
    if missing := int(np.count_nonzero(pd.isna(array))):
        raise InputError(
            f"{name} has {missing} missing value(s) (NaN or None) among {array.shape[0]}: drop those rows first"
        )
    if array.dtype != object and (infinite := int(np.count_nonzero(~np.isfinite(array)))):
        raise InputError(f"{name} has {infinite} infinite value(s) among {array.shape[0]}: drop those rows first")


def _typed(array: NDArray[Any], name: str) -> NDArray[Any]:
    flat = array.ravel().tolist()
    if all(isinstance(value, str) for value in flat):
        return array.astype(str)
    if not all(isinstance(value, (numbers.Real, np.bool_)) for value in flat):
        kinds = listing(sorted({type(value).__name__ for value in flat}))
        raise InputError(f"{name} mixes or holds {kinds}: pass numbers, or labels as text")
    found = np.array(flat).reshape(array.shape)
    if found.dtype.kind not in _NUMBERS:  # integers over 64 bits, fractions
        found = array.astype(np.float64)
    _check_whole(found, name)
    return found


def _check_objects(y: Any, target: NDArray[Any], candidates: Candidates) -> None:
    """Refuse numbers with dtype object if scikit-learn would refuse them at every fit."""
    for estimator in candidates.ends if type_of_target(y).startswith("unknown") else ():
        parts = [estimator, *estimator.get_params(deep=True).values()]
        # CatBoost accepts them, and a user's own class may.
        if {library(part) for part in parts if hasattr(part, "fit")} <= {"sklearn", "xgboost", "lightgbm"}:
            raise InputError(
                f"y has dtype object and holds numbers, such as {short(target.flat[0].item())}: "
                f"{type(estimator).__name__} does not accept these as labels; pass y.astype({target.dtype})"
            )


def _weights(values: Any) -> NDArray[Any]:
    array = _labels(values, "sample_weight", most_dimensions=1)
    if array.dtype.kind == "U":
        raise InputError("sample_weight holds text: pass numbers")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if negative := int(np.count_nonzero(array < 0)):
        raise InputError(f"sample_weight has {negative} negative value(s), the least is {short(array.min().item())}")
    if not array.any():
        raise InputError("sample_weight is 0 in every row: no row is left to train on")
    return array


def _check_target(y: NDArray[Any] | None, candidates: Candidates) -> None:
    if y is None:
        for estimator in candidates.estimators:
            if needs_y(estimator):
                raise InputError(f"y=None: {type(estimator).__name__} can't be fitted without y")
        return
    if candidates.kind == "regressor" and y.dtype.kind == "U":
        name = type(candidates.estimators[0]).__name__
        raise InputError(f"y holds text, such as {short(str(y.flat[0]))}: {name} is a regressor and needs numbers")
    if candidates.kind == "classifier":
        _check_classes(y, candidates)


def _check_classes(y: NDArray[Any], candidates: Candidates) -> None:
    # CatBoost's classifiers accept probabilities as y for the loss CrossEntropy.
    strict = [estimator for estimator in candidates.ends if library(estimator) != "catboost"]
    if strict and y.dtype.kind == "f" and type_of_target(y).startswith("continuous"):
        odd = next(value for value in y.ravel().tolist() if value != round(value))
        raise InputError(
            f"y holds fractions, such as {odd!r}: {type(strict[0]).__name__} is a classifier and needs labels; "
            "use a regressor, or whole numbers or text"
        )
    if y.ndim > 1 and y.shape[1] > 1:
        return
    classes = np.unique(y)
    if len(classes) < 2:
        raise InputError(f"y has only one class, {classes[0].item()!r}: a classifier needs at least two")
    for estimator in candidates.ends:
        # XGBoost's classifiers would refuse other labels at every fit.
        if library(estimator) == "xgboost" and (
            y.dtype.kind == "U" or not np.array_equal(classes, np.arange(len(classes)))
        ):
            raise InputError(
                f"y has the classes {listing(map(repr, classes.tolist()))}: {type(estimator).__name__} accepts only "
                f"0 to {len(classes) - 1}; pass sklearn.preprocessing.LabelEncoder().fit_transform(y)"
            )
