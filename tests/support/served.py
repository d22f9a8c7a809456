"""Exported models in a process of their own, in which nothing of Warren can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WITHOUT_WARREN = """
import sys
for name in ("warren", "producer", "worker"):
    sys.modules[name] = None
import json
from pathlib import Path
import numpy as np
folders = {name: Path(folder) for name, folder in json.loads(sys.argv[1]).items()}
given = dict(np.load(sys.argv[2]))
made = {}
"""
_SAVE = """
np.savez(sys.argv[3], **made)
"""


def asked(
    code: str, folders: dict[str, Path], given: dict[str, NDArray[np.generic]], tmp_path: Path
) -> dict[str, NDArray[np.generic]]:
    """Run code that loads models from `folders`, asks them about `given`, and leaves
    arrays in `made`."""
    asking, answer = tmp_path / "asked.npz", tmp_path / "answer.npz"
    np.savez(asking, **given)  # type: ignore[arg-type]
    paths = json.dumps({name: str(folder) for name, folder in folders.items()})
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT_WARREN + code + _SAVE, paths, str(asking), str(answer)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(np.load(answer))


TREES = """
import catboost, lightgbm, xgboost
X = given["X"]
for name in ("xgboost", "xgboost-json"):
    model = xgboost.XGBClassifier()
    model.load_model(next(folders[name].glob("model.*")))
    made[name] = model.predict_proba(X)
made["lightgbm"] = lightgbm.Booster(model_file=folders["lightgbm"] / "model.txt").predict(X)
model = catboost.CatBoostClassifier().load_model(str(folders["catboost"] / "model.cbm"))
made["catboost"], made["catboost-labels"] = model.predict_proba(X), model.predict(X).astype("U")
import skops.io
about = json.loads((folders["pipeline"] / "manifest.json").read_text())["model"]
model = skops.io.load(folders["pipeline"] / about["file"], trusted=about["trusted"])
made["pipeline"] = model.predict_proba(X)
"""
NETWORKS = """
import tensorflow as tf
for name, folder in folders.items():
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = signature(inputs=tf.constant(given[name], tf.float32))
    for output, values in found.items():
        values = values.numpy()
        made[f"{name} {output}"] = np.char.decode(values.astype("S")) if values.dtype == object else values
"""
