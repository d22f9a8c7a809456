"""Networks through real workers: next to trees in one study, with images, and where a trial
goes wrong."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from nets import CODES, DIGITS, IMAGES, NAMES, X, install_builders, needs_tensorflow, weights_of
from one_worker import OneWorker, one_worker
from searches import Search, assert_same_numbers, assert_same_results
from servers import Urls
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from producer import GridSearchCV, KerasModel, submit
from warren.errors import InputError

pytestmark = [needs_tensorflow, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist.py"
# Seconds that a worker may take to import TensorFlow, on a machine that others use too.
PATIENCE = 120


@pytest.fixture(scope="module")
def worker(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorker]:
    """One for all, which imports TensorFlow once."""
    with one_worker(private_servers, tmp_path_factory.mktemp("networks")) as found:
        yield found


def net(**params: Any) -> KerasModel:
    given = {"hidden_layers": (8,), "epochs": 2, "optimizer": "sgd", "learning_rate": 0.1, "random_state": 0}
    return KerasModel(**{**given, "deterministic": True, **params})


@pytest.mark.usefixtures("worker")
def test_networks_trees_and_pipelines_make_one_study_with_equal_scores() -> None:
    def grids(prefix: str) -> list[dict[str, list[Any]]]:
        scaled = Pipeline([("scale", StandardScaler()), ("net", net(dropout=0.2))])
        return [
            {"estimator": [net(validation_split=0.2, patience=1)], f"{prefix}epochs": [1, 3]},
            {"estimator": [XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1)]},
            {"estimator": [scaled], f"{prefix}net__hidden_layers": [(4,), [6, 4]]},
        ]

    options = {"cv": 2, "scoring": ["neg_log_loss", "accuracy"], "return_train_score": True}
    study = Search(None, grids(""), X, CODES, options=options).there()
    search = Search(Pipeline([("estimator", net())]), grids("estimator__"), X, CODES, options=options).here()
    study.wait(timeout=PATIENCE, progress=False)
    theirs = {name.replace("estimator__", ""): values for name, values in search.cv_results_.items()}
    theirs["params"] = [
        {name.replace("estimator__", ""): value for name, value in params.items()} for params in theirs["params"]
    ]
    ours = study.cv_results_
    assert ours.keys() == theirs.keys()
    assert_same_results(ours, {name: theirs[name] for name in ours})
    rows = study.results()
    assert set(rows["state"]) == {"COMPLETE"}
    assert set(rows["estimator"]) == {"KerasModel", "XGBClassifier", "Pipeline"}


@pytest.mark.usefixtures("worker")
def test_weights_and_labels_of_text_count_as_in_scikit_learn() -> None:
    weights = {"sample_weight": np.linspace(0.1, 2.0, len(X))}
    assert_same_numbers(Search(net(), {"batch_size": [16, 64]}, X, NAMES, weights, {"cv": 2}))


@pytest.mark.usefixtures("worker")
def test_a_study_of_digits_returns_its_best_network() -> None:
    network = KerasModel(scale=16.0, epochs=12, random_state=0, deterministic=True)
    grid = {"learning_rate": [3e-3, 1e-6], "hidden_layers": [(32,), (16, 16)]}
    cv = ShuffleSplit(1, random_state=0)
    search = GridSearchCV(network, grid, cv=cv, name=uuid4().hex).fit(IMAGES[:200], DIGITS[:200])
    assert search.best_params_["learning_rate"] == 3e-3
    assert search.best_score_ > 0.5
    assert search.score(IMAGES[200:], DIGITS[200:]) > 0.6
    assert search.best_estimator_.history_["loss"][-1] < search.best_estimator_.history_["loss"][0]
    # Trained there, and the same here: bits, not only scores.
    here = KerasModel(scale=16.0, epochs=12, random_state=0, deterministic=True).set_params(**search.best_params_)
    assert weights_of(search.best_estimator_) == weights_of(here.fit(IMAGES[:200], DIGITS[:200]))
    trial = search.study_.store.trials.one(search.study_.id, 0)
    assert trial is not None
    assert trial["versions"].keys() >= {"tensorflow", "keras"}
    assert trial["library"] == "networks"


@pytest.mark.usefixtures("worker")
def test_the_example_of_mnist_runs_with_scikit_learn_s_digits(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](["--rows", "90", "--epochs", "1", "--folds", "2"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:2] == ["param_learning_rate", "param_hidden_layers"]
    assert len(said) == 1 + 6 + 1
    assert said[-1].endswith(" of the digits that were held out are right")


@pytest.mark.usefixtures("worker")
def test_images_with_channels_are_convolved_as_in_scikit_learn() -> None:
    cnn = net(builder="cnn", scale="standard", epochs=1)
    grid = {"builder_params": [{"filters": [4]}, {"filters": [2, 2], "kernel_size": 2}]}
    colour = np.stack([IMAGES, 16 - IMAGES, IMAGES // 2], axis=-1)[:100]
    assert colour.shape == (100, 8, 8, 3)
    study = assert_same_numbers(Search(cnn, grid, colour, DIGITS[:100], options={"cv": 2}))[0]
    assert study.objective.n_splits == 2
    with pytest.raises(InputError, match=r"X has 4 dimension\(s\): XGBClassifier accepts 2, rows and features"):
        submit(XGBClassifier(), {"max_depth": [2]}, colour, DIGITS[:100])


@pytest.mark.usefixtures("worker")
def test_a_diverging_network_is_a_result_and_an_unbuildable_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="param_grid.* = 'wide': no such builder here, there are cnn, mlp"):
        submit(net(), {"builder": ["mlp", "wide"]}, X, CODES)
    # Installed here, and not in the image of the workers.
    install_builders(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    grid = [
        {"learning_rate": [10.0, 1e-3], "epochs": [4]},
        {"builder": ["wide"]},
        {"builder": ["cnn"]},
    ]
    study = submit(net(), grid, X * 1e30, CODES, cv=2, name=uuid4().hex)
    study.wait(timeout=PATIENCE, progress=False)
    rows = study.results().sort_values("number").set_index("number")
    assert rows["state"].tolist() == ["COMPLETE", "COMPLETE", "FAILED", "FAILED"]
    assert rows.loc[0, "mean_test_score"] == pytest.approx(np.mean(CODES == 0), abs=0.05)  # NaN is the first class
    assert "InputError: builder = 'wide': no such builder here, there are cnn, mlp" in rows.loc[2, "error"]
    assert "InputError: builder='cnn' needs images" in rows.loc[3, "error"]
