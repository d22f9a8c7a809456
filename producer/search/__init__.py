"""scikit-learn's `GridSearchCV` and `RandomizedSearchCV`, fitted by workers."""

from producer.search.grid import GridSearchCV
from producer.search.randomized import RandomizedSearchCV

__all__ = ["GridSearchCV", "RandomizedSearchCV"]
