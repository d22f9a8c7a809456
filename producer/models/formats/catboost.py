"""CatBoost's models: ``cbm``. Only CatBoost can read it, so a separate process tries it first."""

from __future__ import annotations

from typing import Any

import numpy as np

from producer.models.formats.catboost_probe import ends_the_process
from producer.models.formats.model_format import ModelFormat
from producer.models.refusals import forged
from warren.libraries.catboost import CATBOOST as LIBRARY
from warren.libraries.registry import THREADS
from warren.storage.documents import Document

# Parameters that a worker sets on every estimator.
_SET_BY_WORKERS = THREADS.union(LIBRARY.quiet, LIBRARY.fixed)


def _read(content: bytes, facts: Document, unfitted: Any, vouched: bool) -> Any:
    if not vouched and ends_the_process(content):
        raise forged("makes CatBoost crash")
    given = dict(unfitted._init_params)
    unfitted.load_model(blob=content)
    unfitted._init_params = given  # loading replaced them by the model's own
    unfitted._n_features_in = facts["n_features"]
    for name in ("prediction_values_change", "loss_value_change"):
        if name in facts:
            setattr(unfitted, f"_{name}", [np.float64(value) for value in facts[name]])
    return unfitted


def _set_back(ours: Any, users: Any) -> None:
    if ours.is_fitted() and not ours.n_features_in_:
        ours._n_features_in = len(ours.feature_names_)  # a copy loses it
    # In the instance's dict, because a fitted estimator refuses to set parameters.
    made = {name: value for name, value in ours._init_params.items() if name not in _SET_BY_WORKERS}
    theirs = {name: made.get(name, value) for name, value in users._init_params.items()}
    ours._init_params = theirs | made


CATBOOST = ModelFormat(
    name="catboost-cbm",
    file="model.cbm",
    line="catboost.{cls}().load_model('model.cbm')",
    read=_read,
    booster=("_object", "catboost.core", "_CatBoost"),
    set_back=_set_back,
    chosen=("loss_function",),
)
