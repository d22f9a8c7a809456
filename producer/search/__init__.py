"""scikit-learn's two searches, fitted by the workers."""

from producer.search.grid import GridSearchCV
from producer.search.randomized import RandomizedSearchCV

__all__ = ["GridSearchCV", "RandomizedSearchCV"]
