"""Checks of a submission: estimators, parameters, data, splits and scorers."""

from producer.validation.data import prepare
from producer.validation.deprecations import tell_deprecated
from producer.validation.devices import choose_device
from producer.validation.early_stopping import check_early_stopping
from producer.validation.estimators import Candidates, check_estimators
from producer.validation.scoring import check_scoring
from producer.validation.sklearn_config import configuration_here
from producer.validation.splits import make_splits, make_validation

__all__ = [
    "Candidates",
    "check_early_stopping",
    "check_estimators",
    "check_scoring",
    "choose_device",
    "configuration_here",
    "make_splits",
    "make_validation",
    "prepare",
    "tell_deprecated",
]
