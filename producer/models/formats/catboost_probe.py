"""A file of CatBoost, tried in a process of its own: CatBoost follows what a file says without a look.

Run as a script, it reads a file from its input and asks the model for a few rows. Only how it ends counts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Starting Python and CatBoost takes seconds; asking takes none.
_SECONDS = 120.0
# Rows of one number each, which lead to different leaves.
_NUMBERS = (0.0, 1e30, -1e30, float("nan"))


def ends_the_process(content: bytes) -> bool:
    """Say whether CatBoost crashes or hangs with a file; an error that it raises is no crash."""
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
