"""Tries a CatBoost file in a separate process, because CatBoost follows its numbers unchecked.

Run as a script, it reads a file from standard input and predicts a few rows. Only its exit code
matters.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Starting Python and CatBoost takes seconds; the predictions take no time.
_SECONDS = 120.0
# Each number fills a row; they reach different leaves.
_NUMBERS = (0.0, 1e30, -1e30, float("nan"))


def ends_the_process(content: bytes) -> bool:
    """Return whether CatBoost crashes or hangs with a file; a Python exception is not a crash."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child = subprocess.run(
            [sys.executable, "-P", __file__],
            input=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=_SECONDS,
            check=False,
        )
        return child.returncode not in (0, 1)
    return True


def _ask(content: bytes) -> None:
    from catboost import CatBoost

    model = CatBoost()
    model.load_model(blob=content)
    texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    columns = range(len(model.feature_names_))
    model.predict([["0" if column in texts else number for column in columns] for number in _NUMBERS])


if __name__ == "__main__":
    _ask(sys.stdin.buffer.read())
