"""Exports: where they go, what the manifest says, and models that their own libraries load."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from served import TREES, asked
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study_documents import document
from xgboost import XGBClassifier

from producer.models import export as module
from producer.models.export import export_model, verify
from producer.models.export_folder import Place
from warren.errors import InputError, TrialError
from warren.messages import Objective
from warren.networks import KerasModel
from warren.settings import Settings
from warren.storage.dataset import Dataset
from warren.storage.documents import Document, now
from warren.storage.study_document import StudyDefinition
from worker.training.models import pack

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(80, 4))
CODES = (X[:, 0] > 0.4).astype(int) + (X[:, 1] > 0)
NAMES = np.array(["ash", "elm", "oak"])[CODES]

XGB = XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1)
TRIAL: Document = {
    "study_id": "breast-0a1b2c3d4e5f",
    "number": 3,
    "params": {"max_depth": 2},
    "mean_test_auc": 0.9,
    "std_test_auc": 0.01,
    "mean_test_loss": np.nan,
    "std_test_loss": np.nan,
    "mean_test_score": 0.9,
}
OBJECTIVE = Objective(
    estimator=None,
    dataset="d" * 64,
    splits="e" * 64,
    n_splits=3,
    scorers={"auc": "roc_auc_ovr", "loss": "neg_log_loss"},
    refit="auc",
    error_score=np.nan,
    return_train_score=False,
)


class Exporter:
    """Exports models that are fitted here, as if a worker had stored them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.trainings = 0
        self.fails: Exception | None = None

    def __call__(self, fitted: Any, path: Path | str, data: Any = X, **options: Any) -> Path:
        packed = pack(fitted)
        library = type(fitted).__module__.partition(".")[0]
        said: Document = {
            "file": "f",
            "format": packed.format,
            "sha256": hashlib.sha256(packed.content).hexdigest(),
            "class": f"{library}.{type(fitted).__name__}",
            "facts": packed.facts,
        }

        def trained(*_: Any) -> Document:
            self.trainings += 1
            if self.fails:
                raise self.fails
            return {"model": said, "library": library, "versions": {"python": "3.11.0"}}

        self.monkeypatch.setattr(module, "trained", trained)
        self.monkeypatch.setattr(module, "read_dataset", lambda *_: Dataset(X=data))
        study = StudyDefinition.read(document("breast-1", name="Breast", objective=OBJECTIVE.model_dump()))
        store: Any = SimpleNamespace(
            study=lambda *_: study,
            models=SimpleNamespace(get=lambda _: packed.content),
            datasets=SimpleNamespace(get=lambda _: b""),
        )
        unfitted = type(fitted)(**fitted.get_params(deep=False))
        return export_model(store, Settings(), TRIAL, unfitted, path, **options)


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    return Exporter(monkeypatch)


@pytest.fixture(scope="module")
def trees() -> XGBClassifier:
    return XGBClassifier(**XGB.get_params()).fit(X, CODES)


def left_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# ------------------------------------------------------------------------- the models


@pytest.mark.slow
def test_an_exported_model_predicts_the_same_in_its_own_library(export: Exporter, tmp_path: Path) -> None:
    models = {
        "xgboost": XGBClassifier(**XGB.get_params()).fit(X, CODES),
        "lightgbm": LGBMClassifier(n_estimators=4, n_jobs=1, verbosity=-1, min_child_samples=2).fit(X, NAMES),
        "catboost": CatBoostClassifier(iterations=4, depth=2, thread_count=1, verbose=0, allow_writing_files=False).fit(
            X, NAMES
        ),
        "pipeline": make_pipeline(StandardScaler(), XGBClassifier(**XGB.get_params())).fit(X, CODES),
    }
    folders = {name: export(model, tmp_path / name) for name, model in models.items()}
    folders["xgboost-json"] = export(models["xgboost"], tmp_path / "xgboost-json", format="json")
    made = asked(TREES, folders, {"X": X}, tmp_path)
    for name, model in {**models, "xgboost-json": models["xgboost"]}.items():
        assert np.array_equal(made[name], model.predict_proba(X)), name
    assert np.array_equal(made["catboost-labels"], models["catboost"].predict(X))
    files = {name: left_in(folder) for name, folder in folders.items()}
    assert files == {
        "xgboost": ["manifest.json", "model.ubj"],
        "xgboost-json": ["manifest.json", "model.json"],
        "lightgbm": ["manifest.json", "model.txt"],
        "catboost": ["manifest.json", "model.cbm"],
        "pipeline": ["manifest.json", "model.skops"],
    }
    assert json.loads((folders["xgboost-json"] / "model.json").read_text())["learner"]
    assert verify(folders["xgboost-json"])["model"]["format"] == "xgboost-json"
    # A pipeline is of all the libraries that its steps are of.
    assert verify(folders["pipeline"])["versions"]["exported"].keys() >= {"xgboost", "skops", "scikit-learn"}
    assert verify(folders["lightgbm"])["versions"]["exported"].keys().isdisjoint({"xgboost", "skops"})
    assert verify(folders["lightgbm"])["model"]["signature"]["classes"] == ["ash", "elm", "oak"]


def test_the_manifest_says_what_the_model_is_and_what_made_it(
    export: Exporter, trees: XGBClassifier, tmp_path: Path
) -> None:
    before = now()
    folder = export(trees, tmp_path / "m")
    manifest = verify(folder)
    assert manifest["study"] == {
        "id": "breast-0a1b2c3d4e5f",
        "name": "Breast",
        "dataset": "d" * 64,
        "splits": "e" * 64,
        "n_splits": 3,
    }
    assert manifest["trial"] == 3
    assert manifest["estimator"].startswith("XGBClassifier(")
    assert "max_depth=2" in manifest["estimator"]
    assert manifest["parameters"] == {"max_depth": 2}
    assert manifest["refit"] == "auc"
    assert manifest["scores"] == {"test_auc": {"mean": 0.9, "std": 0.01}, "test_loss": {"mean": None, "std": None}}
    assert manifest["model"]["class"] == "xgboost.XGBClassifier"
    assert manifest["model"]["load"] == "xgboost.XGBClassifier().load_model('model.ubj')"
    assert manifest["model"]["signature"] == {
        "inputs": [{"name": "X", "shape": [None, 4], "dtype": "float64"}],
        "outputs": [
            {"name": "predict_proba", "shape": [None, 3], "dtype": "float32"},
            {"name": "predict", "shape": [None], "dtype": "int64"},
        ],
        "classes": [0, 1, 2],
    }
    assert manifest["versions"]["trained"] == {"python": "3.11.0"}
    assert manifest["versions"]["exported"].keys() >= {"python", "warren", "numpy", "xgboost"}
    assert before.isoformat() <= manifest["created_at"] <= now().isoformat()
    assert manifest["files"]["model.ubj"]["bytes"] == (folder / "model.ubj").stat().st_size


def test_the_signature_names_columns_and_a_transformer_s_output(export: Exporter, tmp_path: Path) -> None:
    frame = pd.DataFrame(X[:, :2], columns=["width", "height"]).astype({"height": "float32"})
    signature = verify(export(PCA(1).fit(frame), tmp_path / "m", frame))["model"]["signature"]
    columns = [{"name": "width", "dtype": "float64"}, {"name": "height", "dtype": "float32"}]
    assert signature["inputs"] == [{"name": "X", "shape": [None, 2], "columns": columns}]
    assert signature["outputs"] == [{"name": "transform", "shape": [None, 1], "dtype": "float64"}]
    assert signature["classes"] is None


@pytest.mark.parametrize(
    ("format", "message"),
    [("json", "only XGBoost loads a model from JSON, and this is a PCA"), ("onnx", "format='onnx': pass 'json'")],
)
def test_a_format_that_a_model_has_not_is_refused_before_it_is_trained(
    export: Exporter, tmp_path: Path, format: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export(PCA(1).fit(X), tmp_path / "m", format=format)
    assert export.trainings == 0
    assert left_in(tmp_path) == []


def test_without_tensorflow_a_network_is_refused_before_it_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=r"pip install 'warren\[tensorflow\]'"):
        export_model(SimpleNamespace(), Settings(), TRIAL, KerasModel(), tmp_path)  # type: ignore[arg-type]


# -------------------------------------------------------------------------- the place


def test_an_export_is_never_overwritten_unless_asked(export: Exporter, trees: XGBClassifier, tmp_path: Path) -> None:
    folder = export(trees, tmp_path / "deep" / "m")
    first = (folder / "manifest.json").read_bytes()
    with pytest.raises(InputError, match=r"m: there is an export already.*overwrite=True \(--overwrite\)"):
        export(trees, folder)
    assert (folder / "manifest.json").read_bytes() == first
    assert export.trainings == 1
    assert export(trees, folder, format="json", overwrite=True) == folder
    assert left_in(folder) == ["manifest.json", "model.json"]
    assert left_in(folder.parent) == ["m"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_but_an_export_is_ever_replaced(
    export: Exporter, trees: XGBClassifier, tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="home: this is a folder with other files, not an export"):
        export(trees, tmp_path / "home", overwrite=overwrite)
    with pytest.raises(InputError, match="file: this is a file, not an export"):
        export(trees, tmp_path / "file", overwrite=overwrite)
    assert export.trainings == 0
    assert left_in(tmp_path / "home") == ["thesis.tex"]


def test_an_empty_folder_is_taken_and_others_may_read_what_is_in_it(
    export: Exporter, trees: XGBClassifier, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    before = os.umask(0o022)
    try:
        folder = export(trees, tmp_path / "m")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "model.ubj").stat().st_mode) == 0o644


@pytest.mark.parametrize("failure", [TrialError("no"), TimeoutError("later"), KeyboardInterrupt()])
def test_where_the_training_fails_nothing_is_left(
    export: Exporter, trees: XGBClassifier, tmp_path: Path, failure: Exception
) -> None:
    export.fails = failure
    with pytest.raises(type(failure)):
        export(trees, tmp_path / "deep" / "m")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("step", ["mkdir", "write_bytes", "rename"])
def test_a_disk_that_refuses_is_named_and_left_as_it_was(
    export: Exporter, trees: XGBClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    old = export(trees, tmp_path / "m")
    with monkeypatch.context() as patch:
        real = getattr(Path, step)

        def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
            if ".partial" in str(self):
                raise OSError(code, os.strerror(code))
            return real(self, *arguments, **options)

        patch.setattr(Path, step, refuse)
        with pytest.raises(InputError, match=f"m: the export can't be written .{os.strerror(code)}.*; nothing was"):
            export(trees, tmp_path / "m", overwrite=True)
    assert verify(old)
    assert left_in(tmp_path) == ["m"]
    # What is wrong with the place is said before anything is trained.
    assert export.trainings == (1 if step == "mkdir" else 2)


def test_versions_count_on_and_skip_a_number_that_is_taken(tmp_path: Path) -> None:
    place = Place(folder=tmp_path / "net", versioned=True, overwrite=False)

    def put(text: str) -> Path:
        place.check()
        with place.staged() as staging:
            (staging / "manifest.json").write_text(text)
            return place.take(staging)

    assert [put("a").name, put("b").name] == ["1", "2"]
    (tmp_path / "net" / "10").mkdir()
    (tmp_path / "net" / "10" / "manifest.json").write_text("ten")
    (tmp_path / "net" / "notes").write_text("")
    assert put("c").name == "11"
    with place.staged() as one, place.staged() as other:
        for staging in (one, other):
            (staging / "manifest.json").write_text(staging.name)
        newest = place._newest()
        object.__setattr__(place, "_newest", lambda: newest)
        # Both have looked, and only then renames the first.
        assert [place.take(one).name, place.take(other).name] == ["12", "13"]
    again = Place(folder=tmp_path / "net", versioned=True, overwrite=True)
    with again.staged() as staging:
        (staging / "manifest.json").write_text("new")
        assert again.take(staging) == tmp_path / "net" / "13"
    assert (tmp_path / "net" / "13" / "manifest.json").read_text() == "new"
    assert left_in(tmp_path / "net") == ["1", "10", "11", "12", "13", "2", "notes"]


# -------------------------------------------------------------------------- verifying


def test_a_file_that_was_changed_lost_or_added_is_found(export: Exporter, trees: XGBClassifier, tmp_path: Path) -> None:
    folder = export(trees, tmp_path / "m")
    model = folder / "model.ubj"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"!")
    with pytest.raises(InputError, match=r"m: differs from the export: model.ubj has another digest"):
        verify(folder)
    model.unlink()
    (folder / "other.txt").write_text("")
    with pytest.raises(InputError, match=r"model.ubj is missing; other.txt is not in the manifest"):
        verify(folder)
    (folder / "other.txt").unlink()
    model.write_bytes(content)
    # Requests that TensorFlow Serving warms up with are added by users.
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_text("")
    assert verify(str(folder))["trial"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid JSON"),
        ("[]", "manifest_version is None"),
        ('{"manifest_version": 2}', "manifest_version is 2, and this version of Warren reads 1"),
        ('{"manifest_version": 1, "files": {"a": 3}}', "lacks a file's sha256"),
        ('{"manifest_version": 1, "files": {"../a": {"sha256": ""}}}', "names the file '../a', which is outside"),
        ('{"manifest_version": 1, "files": {"/etc/passwd": {"sha256": ""}}}', "which is outside"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        verify(tmp_path)


def test_a_folder_above_says_where_the_manifest_is(export: Exporter, trees: XGBClassifier, tmp_path: Path) -> None:
    export(trees, tmp_path / "1")
    with pytest.raises(InputError, match=r"manifest.json: can't be read \(No such file.*there is one in .*/1$"):
        verify(tmp_path)
