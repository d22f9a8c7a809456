"""scikit-learn's own tests of its searches, read from the installed wheel and run on ours:
``make test-sklearn``.

Their module is imported with `GridSearchCV` and `RandomizedSearchCV` replaced, on servers and
workers of its own. What must differ is listed with its reason, and must fail: a difference that has
gone is told too.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from unittest.mock import patch

import pytest

_MODULE = "sklearn.model_selection.tests.test_search"
_MOCKS = ",".join(
    [
        *(
            f"{_MODULE}.{name}"
            for name in ("BrokenClassifier", "FailingClassifier", "LinearSVCNoScore", "MockClassifier")
        ),
        *(f"sklearn.utils._testing.Minimal{name}" for name in ("Classifier", "Regressor", "Transformer")),
    ]
)
_CODE = "a scorer that is the user's own code can't be sent"
_CHECKS = "its estimator takes functions as parameters, which can't be sent"
_PARAMS = "fit parameters other than sample_weight and groups can't be sent"
_LOCAL = "its estimator is a class of the test's own, which a worker can't import"
_CALLBACKS = "callbacks are refused: the fits are on the workers"

DIFFERENT = {
    "test_SearchCV_with_fit_params": _PARAMS,
    "test_X_as_list": _CHECKS,
    "test_callable_multimetric_clf_all_fits_fail": _CODE,
    "test_callable_multimetric_confusion_matrix": _CODE,
    "test_callable_multimetric_error_failing_clf": _CODE,
    "test_callable_multimetric_error_on_invalid_key": _CODE,
    "test_callable_multimetric_same_as_list_of_strings": _CODE,
    "test_callable_single_metric_same_as_single_string": _CODE,
    "test_custom_run_search": "it compares every attribute, and ours has study_ besides",
    "test_cv_results_dtype_issue_29074": _LOCAL,
    "test_grid_search_sparse_scoring": _CODE,
    "test_gridsearch_nd": _CHECKS,
    "test_gridsearch_no_predict": _CODE,
    "test_multi_metric_search_forwards_metadata": "metadata other than sample_weight and groups can't be sent",
    "test_pandas_input": _CHECKS,
    "test_scalar_fit_param": _PARAMS,
    "test_scalar_fit_param_compat": _PARAMS,
    "test_search_callbacks_no_propagation": _CALLBACKS,
    "test_search_callbacks_propagation": _CALLBACKS,
    "test_search_callbacks_receive_sample_weight": _CALLBACKS,
    "test_search_callbacks_receive_search_instance": _CALLBACKS,
    "test_search_callbacks_with_partial_fit_failures": _LOCAL,
    "test_search_cv_using_minimal_compatible_estimator": "its estimators take parameters that they don't name",
    "test_search_cv_verbose_3": "a line for each fit is not printed: the fits are on the workers",
    "test_searchcv_raise_warning_with_non_finite_score": _CODE,
    "test_unsupported_sample_weight_scorer": _CODE,
    "test_y_as_list": _CHECKS,
}


class Ours:
    """Marks what must differ, and runs their tests of the halving searches, which are not ours,
    as they are."""

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            of_halving = "Halving" in repr(getattr(getattr(item, "callspec", None), "params", ""))
            if (reason := DIFFERENT.get(item.originalname)) and not of_halving:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def main() -> int:
    """Run their tests; return the exit status of pytest."""
    from sklearn import model_selection

    import producer

    with (
        patch.dict(os.environ, WARREN_ALLOW=_MOCKS, WARREN_THREADS="1"),
        patch.object(model_selection, "GridSearchCV", producer.GridSearchCV),
        patch.object(model_selection, "RandomizedSearchCV", producer.RandomizedSearchCV),
        producer.local_stack(workers=2),
        tempfile.TemporaryDirectory() as elsewhere,
        contextlib.chdir(elsewhere),
    ):
        # Neither this repository's settings nor a cache in the wheel.
        quiet = ["-c", os.devnull, "--rootdir", elsewhere, "-p", "no:cacheprovider", "-W", "ignore"]
        return int(
            pytest.main([*quiet, "-q", "-rfX", "--tb=short", "--pyargs", _MODULE, *sys.argv[1:]], plugins=[Ours()])
        )


if __name__ == "__main__":
    sys.exit(main())
