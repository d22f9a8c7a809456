"""What a trial trains is made again for every fold, with the worker's threads, once."""

from __future__ import annotations

import pytest
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, RandomForestClassifier

from warren.encoding.codec import encode
from warren.errors import InputError
from warren.settings import Settings
from worker.training.candidate import Candidate

EIGHT = Settings(WARREN_THREADS=8)


def test_every_call_makes_another_estimator() -> None:
    make = Candidate(encode(RandomForestClassifier(), "it"), {"max_depth": 3}, EIGHT)
    assert make() is not make()
    assert make().get_params()["max_depth"] == 3


def test_threads_are_not_multiplied_by_an_estimator_inside_another() -> None:
    nested = Candidate(encode(BaggingClassifier(RandomForestClassifier()), "it"), {}, EIGHT)()
    assert (nested.n_jobs, nested.estimator.n_jobs) == (8, 1)
    # One that has no threads of its own leaves them to the one inside.
    assert Candidate(encode(AdaBoostClassifier(RandomForestClassifier()), "it"), {}, EIGHT)().estimator.n_jobs == 8


def test_a_parameter_of_an_inner_estimator_is_set() -> None:
    params = {"estimator__max_depth": 2}
    made = Candidate(encode(BaggingClassifier(RandomForestClassifier()), "it"), params, EIGHT)()
    assert (made.estimator.max_depth, made.estimator.n_jobs) == (2, 1)


def test_a_name_off_the_allow_list_shows_before_any_work() -> None:
    with pytest.raises(InputError, match="not on the allow-list"):
        Candidate({"__estimator__": "os.system", "params": {}}, {}, EIGHT)
