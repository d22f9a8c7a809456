"""What is checked before anything is published: estimators, data, splits, scorers.

Every refusal is an `warren.errors.InputError` that names the offence, its value and the way out.
"""

from producer.inputs.configuration import configuration_here
from producer.inputs.data import prepare
from producer.inputs.deprecated import tell_deprecated
from producer.inputs.devices import choose_device
from producer.inputs.early_stopping import check_early_stopping
from producer.inputs.estimators import Candidates, check_estimators
from producer.inputs.scoring import check_scoring
from producer.inputs.splits import make_splits, make_validation

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
