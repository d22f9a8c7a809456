"""Models of libraries that write files, where there is no room for a file."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier
from xgboost import XGBClassifier

from worker.training.models import pack

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files on a disk without a free byte, and an apostrophe in its path."""
    folder = tmp_path / "it's füll"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root mounts a small disk")
    try:
        with pytest.raises(OSError, match="No space left"):
            (folder / "all").write_bytes(bytes(2**20))
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    "estimator",
    [
        XGBClassifier(n_estimators=2, n_jobs=1),
        XGBClassifier(n_estimators=200, n_jobs=1),
        CatBoostClassifier(iterations=50, allow_writing_files=False, silent=True, thread_count=1),
    ],
    ids=["XGBoost, small", "XGBoost", "CatBoost"],
)
def test_a_model_is_whole_where_the_disk_is_full(estimator: Any, full: Path) -> None:
    estimator.fit(X, Y)
    packed = pack(estimator)
    assert list(full.iterdir()) == [full / "all"]
    read = type(estimator)()
    content = packed.content
    read.load_model(bytearray(content)) if packed.format == "xgboost-ubj" else read.load_model(blob=content)
    np.testing.assert_array_equal(read.predict_proba(X), estimator.predict_proba(X))
