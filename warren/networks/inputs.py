"""X and y of a network: dense arrays of float32, and codes of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from warren.errors import InputError

# Columns that an error names.
_NAMED = 5


def dense_rows(estimator: Any, X: Any, *, first: bool) -> NDArray[np.float32]:
    """Return X as a dense array of float32.

    Parameters
    ----------
    estimator : KerasModel
        Learns the number and names of columns, or has them.
    X : array-like or DataFrame of shape (n_samples, n_features), or images of shape (n_samples, height, width) or
        (n_samples, height, width, channels)
    first : bool
        It is the X of a fit.

    Raises
    ------
    InputError
        It is sparse, or holds text or categories.
    ValueError
        As scikit-learn's `validate_data` raises it: missing values, other columns than at the fit.
    """
    if scipy.sparse.issparse(X):
        raise InputError(
            "X is sparse, and a network takes dense rows: X.toarray(), or a step before it that makes it dense, "
            "OneHotEncoder(sparse_output=False) or TruncatedSVD() for one"
        )
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        wrong = [name for name, dtype in zip(X.columns, X.dtypes, strict=True) if not _is_number(dtype)]
        if wrong:
            raise InputError(
                f"X holds {len(wrong)} column(s) that are no numbers, {', '.join(map(repr, wrong[:_NAMED]))}: put a "
                "step before the network that makes numbers of them, OneHotEncoder(sparse_output=False) for one"
            )
    found: NDArray[np.float32] = validate_data(
        estimator, X, reset=first, dtype=np.float32, allow_nd=True, order="C", ensure_min_samples=1
    )
    shape = getattr(estimator, "input_shape_", None)
    if not first and found.shape[1:] != shape:
        raise InputError(f"X has rows of shape {found.shape[1:]}, and the network was trained on rows of {shape}")
    return found


def _is_number(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biuf"  # pandas' own dtypes of numbers have one too
