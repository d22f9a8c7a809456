# Types of the names in `warren/__init__.py`: a stub, so that `warren` does not import `producer`.
from producer.cluster import Cluster as Cluster
from producer.search import GridSearchCV as GridSearchCV
from producer.search import RandomizedSearchCV as RandomizedSearchCV
from producer.space.space import split_params as split_params
from producer.stack import local_stack as local_stack
from producer.study import Study as Study
from producer.submission import submit as submit
from warren.networks import KerasModel as KerasModel

__all__: list[str]
