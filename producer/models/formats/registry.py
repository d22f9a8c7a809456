"""The formats of the boosting libraries' models, by package."""

from __future__ import annotations

from collections.abc import Mapping

from producer.models.formats.catboost import CATBOOST
from producer.models.formats.lightgbm import LIGHTGBM
from producer.models.formats.model_format import ModelFormat
from producer.models.formats.xgboost import XGBOOST

FORMATS: Mapping[str, ModelFormat] = {"xgboost": XGBOOST, "lightgbm": LIGHTGBM, "catboost": CATBOOST}
