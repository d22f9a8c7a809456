"""Models to serve: exported from real studies by the method and the command, and loaded
without Warren."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from acceptance.conftest import StartWorker
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from nets import CODES, NAMES, X, needs_tensorflow
from served import NETWORKS, TREES, asked
from servers import Urls
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from producer import KerasModel, Study, submit
from producer.cli import main
from producer.models.export import verify
from warren.errors import NoResultError
from warren.settings import Settings

# Seconds that workers may take, which may have to import TensorFlow on a machine that
# others use too.
PATIENCE = 120


def study_of(estimator: Any, grid: dict[str, list[Any]], y: Any = CODES) -> Study:
    study = submit(estimator, grid, X, y, cv=2, scoring=["accuracy", "neg_log_loss"], name=f"to serve {uuid4().hex}")
    return study.wait(PATIENCE, progress=False)


@pytest.mark.slow
def test_exported_boosters_and_pipelines_predict_in_their_own_libraries(stack: Urls, tmp_path: Path) -> None:
    trees = {"n_estimators": 5, "n_jobs": 1}
    catboost = CatBoostClassifier(
        iterations=5, learning_rate=0.1, thread_count=1, logging_level="Silent", allow_writing_files=False
    )
    studies = {
        "xgboost": study_of(XGBClassifier(**trees), {"max_depth": [2, 3]}),
        "lightgbm": study_of(LGBMClassifier(**trees, verbosity=-1), {"num_leaves": [3, 7]}, NAMES),
        "catboost": study_of(catboost, {"depth": [2, 3]}, NAMES),
        "pipeline": study_of(
            make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}
        ),
    }
    folders = {name: study.export(tmp_path / name, timeout=PATIENCE) for name, study in studies.items()}
    folders["xgboost-json"] = studies["xgboost"].export(tmp_path / "json", format="json")
    made = asked(TREES, folders, {"X": X}, tmp_path)
    for name, study in {**studies, "xgboost-json": studies["xgboost"]}.items():
        assert np.array_equal(made[name], study.best_model().predict_proba(X)), name
        manifest = verify(folders[name])
        row = study.results().set_index("number").loc[study.best_index_]
        assert manifest["study"]["id"] == study.id
        assert manifest["trial"] == study.best_index_
        assert manifest["parameters"] == study.best_params_
        assert manifest["study"]["dataset"] == study.objective.dataset
        assert manifest["study"]["splits"] == study.objective.splits
        assert manifest["scores"] == {
            f"test_{metric}": {"mean": row[f"mean_test_{metric}"], "std": pytest.approx(row[f"std_test_{metric}"])}
            for metric in ("accuracy", "neg_log_loss")
        }
        assert manifest["versions"]["trained"].keys() >= {"python", "numpy", "scikit-learn", "warren"}


@pytest.mark.slow
@needs_tensorflow
def test_an_exported_network_is_served_by_tensorflow_in_counted_versions(
    servers: Settings, start_worker: StartWorker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_worker()  # one, for each would import TensorFlow
    network = KerasModel(hidden_layers=(8,), epochs=2, scale="standard", random_state=0)
    study = study_of(network, {"learning_rate": [1e-2, 1e-3]}, NAMES)
    first = study.export(tmp_path / "models", timeout=PATIENCE)
    other = 1 - study.best_index_
    assert main(["export", study.id, str(tmp_path / "models"), "--trial", str(other), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    second = Path(printed["path"])
    assert (first.name, second.name) == ("1", "2")
    assert first.parent == second.parent == tmp_path / "models" / study.id.rpartition("-")[0]
    assert sorted(one.name for one in first.parent.iterdir()) == ["1", "2"]
    assert printed["trial"] == verify(second)["trial"] == other
    made = asked(NETWORKS, {"one": first, "two": second}, {"one": X, "two": X}, tmp_path)
    for name, number in (("one", study.best_index_), ("two", other)):
        model = study.best_model(number)
        assert np.allclose(made[f"{name} probabilities"], model.predict_proba(X), rtol=1e-5, atol=1e-6)
        assert np.array_equal(made[f"{name} labels"], model.predict(X))
    assert not np.array_equal(made["one probabilities"], made["two probabilities"])
    assert verify(first)["versions"]["trained"].keys() >= {"tensorflow", "keras"}
    assert verify(first)["model"]["format"] == "tensorflow-savedmodel"


def test_the_command_says_where_the_model_is_and_overwrites_only_when_told(
    stack: Urls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_of(XGBClassifier(n_estimators=2, n_jobs=1), {"max_depth": [1]})
    folder = tmp_path / "m"
    assert main(["export", study.id[:-6], str(folder)]) == 0
    said = capsys.readouterr()
    kilobytes = (folder / "model.ubj").stat().st_size / 1000
    assert said.out == f"study {study.id}: model of trial 0 in {folder} (xgboost-ubj, 1 file, {kilobytes:.1f} kB)\n"
    assert main(["export", study.id, str(folder)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is an export already" in said.err.splitlines()[-1]
    assert main(["export", study.id, str(folder), "--overwrite", "--format", "json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["format"] == "xgboost-json"
    assert main(["export", study.id, str(tmp_path / "n"), "--trial", "7"]) == 1
    assert f"study {study.id} has no result of trial 7 yet" in capsys.readouterr().err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m"]


def test_a_study_without_a_result_says_so_and_writes_nothing(servers: Settings, tmp_path: Path) -> None:
    study = submit(LogisticRegression(), {"C": [1.0]}, X, CODES, cv=2)
    with pytest.raises(NoResultError, match="no trial with a score yet"):
        study.export(tmp_path / "m")
    with pytest.raises(NoResultError, match="no result of trial 0 yet"):
        study.export(tmp_path / "m", 0)
    assert list(tmp_path.iterdir()) == []
