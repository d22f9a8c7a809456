"""What is checked before anything is published: estimators, data, splits, scorers.

Every refusal is an `tuning.errors.InputError` that names the offence, its value and the way out.
"""

from producer.inputs.data import prepare
from producer.inputs.estimators import Candidates, check_estimators
from producer.inputs.scoring import check_scoring
from producer.inputs.splits import make_splits

__all__ = ["Candidates", "check_estimators", "check_scoring", "make_splits", "prepare"]
