"""Many single points in a study's document."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from scipy.stats import randint, uniform
from sklearn.model_selection import ParameterSampler
from sklearn.svm import SVC

from producer.space.columns import packed, unpacked
from producer.space.space import Space
from warren.errors import InputError


def drawn(distributions: Any, n_iter: int) -> Space:
    points = ParameterSampler(distributions, n_iter, random_state=0)
    return Space([{name: [value] for name, value in point.items()} for point in points])


SPACES = {
    "one kind of points": drawn({"C": uniform(0.1, 1), "kernel": ["rbf", "linear"], "shrinking": [True, False]}, 300),
    "several kinds": drawn(
        [{"C": uniform(0.1, 1), "kernel": ["rbf"]}, {"degree": randint(1, 4)}, {"tol": [1e-3]}], 300
    ),
    "values of every kind": Space(
        [{"a": [value]} for value in (None, True, 1, 2.5, "x", (1, 2), [1], {"k": 1}, {0: 1}, float("inf"))] * 20
    ),
    "estimators": Space([{"estimator": [SVC(C=c)]} for c in range(1, 200)]),
    "points without parameters": Space([{}] * 200),
    "points with and without": Space([{}, {"a": [1]}] * 100),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_points_come_back_in_their_order(space: Space) -> None:
    encoded = space.encode()
    stored = packed(encoded)
    assert len(stored) == 1
    for there_and_back in (json.loads(json.dumps(stored)), bson.decode(bson.encode({"space": stored}))["space"]):
        assert unpacked(there_and_back) == encoded
        assert repr([*Space.decode(there_and_back)]) == repr([*Space.decode(encoded)])


@pytest.mark.slow
def test_columns_take_little_more_than_half_of_a_list_of_points() -> None:
    encoded = drawn({"C": uniform(0.1, 1), "gamma": uniform(0, 1), "degree": randint(1, 9)}, 10_000).encode()
    assert len(bson.encode({"space": packed(encoded)})) < 0.6 * len(bson.encode({"space": encoded}))


@pytest.mark.parametrize(
    "space",
    [
        Space({"a": [1, 2]}),
        Space([{"a": [number]} for number in range(99)]),
        Space([{"a": [number]} for number in range(200)] + [{"a": [1, 2]}]),
        Space([{"a": range(number, number + 1)} for number in range(200)]),
    ],
    ids=["a grid", "few points", "points beside a grid", "ranges"],
)
def test_what_people_read_stays_as_it_is(space: Space) -> None:
    assert packed(space.encode()) == space.encode()
    assert unpacked(space.encode()) == space.encode()


@pytest.mark.parametrize(
    "encoded",
    [
        [{"__points__": [{"a": [1]}]}],
        [{"__points__": {"a": [1]}, "__order__": []}],
        [{"__points__": [{"a": 1}], "__order__": []}],
        [{"__points__": [], "__order__": []}],
        [{"__points__": [{"a": [1]}], "__order__": [0, 0]}],
        [{"__points__": [{"a": [1]}], "__order__": [1]}],
        [{"__points__": [{"a": [1]}], "__order__": ["x"]}],
        [{"__points__": [{}], "__order__": []}],
        [{"__points__": [{"a": [1]}], "__order__": [], "more": 1}],
        {"a": [1]},
        [1],
        None,
    ],
)
def test_what_is_no_encoded_space_is_refused(encoded: Any) -> None:
    with pytest.raises(InputError):
        Space.decode(encoded)
