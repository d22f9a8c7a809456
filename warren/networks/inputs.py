"""Check X of a network, and turn it into a dense array of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from warren.errors import InputError

# Columns that an error message names.
_NAMED = 5


def dense_rows(estimator: Any, X: Any, *, first: bool) -> NDArray[np.float32]:
    """Return X as a dense array of float32.

    Parameters
    ----------
    estimator : KerasModel
        Stores the number and names of columns in a fit, and has them afterwards.
    X : array-like or DataFrame of shape (n_samples, n_features), or images of shape (n_samples,
    height, width) or
        (n_samples, height, width, channels)
        The rows.
    first : bool
        Whether this is the X of a fit.

    Returns
    -------
    ndarray of float32
        The rows.

    Raises
    ------
    InputError
        It is sparse, or contains text or categories.
    ValueError
        From scikit-learn's `validate_data`: missing values, or other columns than in the fit.
    """
    if scipy.sparse.issparse(X):
        raise InputError(
            "X is sparse, but a network takes dense rows: pass X.toarray(), or put a step before it that makes rows "
            "dense, such as OneHotEncoder(sparse_output=False) or TruncatedSVD()"
        )
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        wrong = [name for name, dtype in zip(X.columns, X.dtypes, strict=True) if not _is_number(dtype)]
        if wrong:
            raise InputError(
                f"X has {len(wrong)} column(s) that are not numbers, {', '.join(map(repr, wrong[:_NAMED]))}: put a "
                "step before the network that turns them into numbers, such as OneHotEncoder(sparse_output=False)"
            )
    found: NDArray[np.float32] = validate_data(
        estimator, X, reset=first, dtype=np.float32, allow_nd=True, order="C", ensure_min_samples=1
    )
    shape = getattr(estimator, "input_shape_", None)
    if not first and found.shape[1:] != shape:
        raise InputError(f"X has rows of shape {found.shape[1:]}, but the network was trained on rows of {shape}")
    return found


def _is_number(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biuf"  # pandas' own numeric dtypes have a kind too
