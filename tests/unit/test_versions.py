"""What made a result, and how two sides with different versions are told apart."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec

import pytest
from study_documents import document

from producer.results.status import Status
from warren.storage.progress_counts import GROUP, no_counts, totals
from warren.storage.study_document import StudyStatus
from warren.versions import differences, packages_in, relevant, seen_in, versions

ALWAYS = ("warren", "numpy", "scipy", "scikit-learn", "pandas")
HERE = {"python": "3.13.5", "numpy": "2.5.1", "scipy": "1.18.0", "xgboost": "3.4.1"}


@pytest.mark.parametrize(
    ("package", "distribution"),
    [("xgboost", "xgboost-cpu"), ("lightgbm", "lightgbm"), ("catboost", "catboost"), ("sklearn", "scikit-learn")],
)
def test_versions_are_those_of_what_made_a_result(package: str, distribution: str) -> None:
    if package == "xgboost" and distribution not in metadata.packages_distributions()["xgboost"]:
        distribution = "xgboost"  # the build for graphics processors
    found = versions(package)
    assert found["python"] == platform.python_version()
    for name in ALWAYS:
        assert found[name] == metadata.version(name)
    expected = {"python", *ALWAYS} | ({package} if package != "sklearn" else set())
    assert set(found) == expected
    assert found.get(package, metadata.version(distribution)) == metadata.version(distribution)


def test_of_a_network_keras_and_tensorflow_are_named() -> None:
    found = versions("networks")
    assert set(found) - {"keras", "tensorflow"} == {"python", *ALWAYS}
    if find_spec("tensorflow") is not None:  # which has no build for the newest Python
        assert found["keras"] == metadata.version("keras")
        assert found["tensorflow"].startswith("2.")


def test_a_package_without_a_distribution_has_no_version() -> None:
    assert set(versions("faulty")) == {"python", *ALWAYS}


def test_packages_of_steps_members_and_swapped_estimators_are_found() -> None:
    booster = {"__estimator__": "lightgbm.sklearn.LGBMClassifier", "params": {}}
    steps = [["scale", {"__estimator__": "sklearn.preprocessing.StandardScaler", "params": {}}], ["model", booster]]
    pipeline = {"__estimator__": "sklearn.pipeline.Pipeline", "params": {"steps": {"__tuple__": steps}}}
    swap = {"model": {"__estimator__": "xgboost.sklearn.XGBClassifier", "params": {}}, "scale__copy": True}
    assert packages_in([pipeline, swap]) == ("lightgbm", "sklearn", "xgboost")
    assert {"lightgbm", "xgboost"} <= versions(*packages_in([pipeline, swap])).keys()


def test_pandas_counts_only_where_a_study_has_data_frames() -> None:
    encoded = {"__estimator__": "xgboost.sklearn.XGBClassifier", "params": {}}
    assert relevant(encoded, "ndarray").keys() == {"python", *ALWAYS, "xgboost"} - {"pandas"}
    assert "pandas" in relevant(encoded, "DataFrame")


def test_the_same_versions_differ_in_nothing() -> None:
    assert differences(HERE, {name: [version] for name, version in HERE.items()}) == ("", "")
    assert differences(HERE, {}) == ("", ""), "nothing is known of a study without a result"


@pytest.mark.parametrize("theirs", [{"python": ["3.13.9"]}, {"xgboost": ["3.4.1+cpu"]}, {"lightgbm": ["4.6.0"]}])
def test_what_changes_no_number_of_a_study_is_not_told(theirs: dict[str, list[str]]) -> None:
    assert differences(HERE, theirs) == ("", "")


def test_differences_are_told_with_both_versions() -> None:
    theirs = {"python": ["3.11.2"], "numpy": ["2.5.1"], "xgboost": ["3.2.0"]}
    assert differences(HERE, theirs) == ("Python 3.13, XGBoost 3.4.1", "Python 3.11, XGBoost 3.2.0")


def test_workers_that_differ_among_themselves_are_told() -> None:
    seen = seen_in([{"versions": {"numpy": "2.5.1"}}, {"versions": {"numpy": "2.4.6"}}, {}])
    assert differences(HERE, seen) == ("NumPy 2.5.1", "NumPy 2.4.6 or 2.5.1")


def test_a_count_of_all_documents_keeps_the_versions_seen() -> None:
    assert GROUP["versions"] == {"$addToSet": "$versions"}
    group = {"_id": {"state": "FAILED", "estimator": "SVC"}, "count": 1, "estimated_seconds": 1.0}
    group |= {"fit_seconds": 1.0, "score_seconds": 0.0, "saved_seconds": 0.0}
    found, _ = totals([group | {"versions": [{"numpy": "2.4.6"}]}, group | {"versions": [{"numpy": "2.5.1"}]}])
    assert found["versions"] == {"numpy": ["2.4.6", "2.5.1"]}


def test_a_status_names_the_versions_of_both_sides() -> None:
    assert Status.of(StudyStatus.read(document(versions=HERE))).versions_text == ""
    progress = no_counts() | {"versions": {"numpy": ["2.4.6"], "python": ["3.13.5"]}}
    assert Status.of(StudyStatus.read(document(versions=HERE, progress=progress))).versions_text.startswith(
        "it was submitted with NumPy 2.5.1, and workers have NumPy 2.4.6: scores can differ"
    )
