"""The parameter space: order, laziness, chunks, JSON."""

import json
import random
import sys
import time
import tracemalloc
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.tree import DecisionTreeClassifier

from producer.space.space import Space, split_params, split_sizes
from warren.errors import InputError

REFERENCE = {
    "learning_rate": [0.01, 0.05, 0.1, 0.2],
    "max_depth": range(3, 8),
    "subsample": [0.5, 0.75, 1.0],
    "n_estimators": list(range(100, 535, 4)),
    "reg_lambda": [0.0, 1.0, 5.0, 10.0],
}  # 4 x 5 x 3 x 109 x 4 = 26,160 points


def random_grids(seed: int) -> list[dict[str, list[int]]]:
    draw = random.Random(seed)
    return [
        {
            name: [draw.randrange(9) for _ in range(draw.randint(1, 4))]
            for name in draw.sample("zyxabc", draw.randint(0, 4))
        }
        for _ in range(draw.randint(1, 3))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_points_come_in_the_order_of_scikit_learn(seed: int):
    grids = random_grids(seed)
    expected = list(ParameterGrid(grids))
    space = Space(grids)
    assert len(space) == space.size == len(expected)
    assert list(space) == expected
    assert [space[number] for number in range(len(space))] == expected
    assert space[-1] == expected[-1]


@pytest.mark.parametrize("seed", range(20))
def test_any_stretch_of_points_is_found_without_those_before_it(seed: int):
    space = Space(random_grids(seed))
    everything = list(space)
    for start in range(len(everything) + 1):
        assert list(space.points(start)) == everything[start:]
        assert list(space.points(start, start + 3)) == everything[start : start + 3]


@pytest.mark.parametrize("seed", range(20))
def test_encoded_points_are_found_by_number_in_any_order(seed: int):
    space = Space(random_grids(seed))
    everything = list(enumerate(space))
    wanted = random.Random(seed).choices(range(len(everything)), k=30)
    assert list(space.encoded_points()) == everything
    assert list(space.encoded_points(wanted)) == [everything[number] for number in wanted]
    assert list(space.encoded_points(sorted(wanted))) == [everything[number] for number in sorted(wanted)]


def test_values_of_any_sequence_are_taken_as_scikit_learn_takes_them():
    array = np.array([0.1, 0.3])
    space = Space({"a": array, "b": (1, None), "c": pd.Series([1, 2], index=[7, 8]), "d": pd.Index(["x"])})
    assert space[0] == {"a": 0.1, "b": 1, "c": 1, "d": "x"}
    assert len(space) == 8
    assert list(Space({"a": array})) == list(ParameterGrid({"a": array}))
    assert type(space[0]["a"]) is np.float64


def test_an_empty_dict_in_a_list_is_one_point():
    assert list(Space([{}, {"a": [1]}])) == list(ParameterGrid([{}, {"a": [1]}])) == [{}, {"a": 1}]


def test_duplicated_values_are_points_of_their_own():
    assert list(Space({"a": [1, 1]})) == [{"a": 1}, {"a": 1}]


def test_a_changed_point_changes_no_other():
    walk = Space({"a": [1, 2], "b": [1, 2]}).points()
    next(walk).clear()
    assert next(walk) == {"a": 1, "b": 2}


def test_a_list_changed_later_does_not_change_the_space():
    values = [1, 2]
    space = Space({"a": values})
    values.append(3)
    assert len(space) == 2


def test_a_grid_of_a_billion_points_costs_no_memory():
    tracemalloc.start()
    space = Space({"a": range(1000), "b": range(1000), "c": range(1_000_000_000)})
    assert space.size == 10**15
    assert space[10**15 - 1] == {"a": 999, "b": 999, "c": 10**9 - 1}
    assert next(space.points(10**9)) == {"a": 0, "b": 1, "c": 0}
    assert len(next(split_params({"a": range(10**9)}, 10**6))) == 1000
    assert next(space.encoded_points([5])) == (5, {"a": 0, "b": 0, "c": 5})
    assert space.encode() == [{name: {"__range__": [0, n, 1]} for name, n in [("a", 1000), ("b", 1000), ("c", 10**9)]}]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_space_larger_than_len_can_say_has_a_size():
    space = Space({"a": range(-(2**62), 2**62), "b": range(1000)})
    assert space.size == 2**63 * 1000 > sys.maxsize
    assert space[space.size - 1] == {"a": 2**62 - 1, "b": 999}
    assert list(islice(space, 2)) == [{"a": -(2**62), "b": 0}, {"a": -(2**62), "b": 1}]
    with pytest.raises(OverflowError):
        len(space)


@pytest.mark.parametrize("number", [6, -7, 10**20])
def test_a_number_beyond_the_space_is_an_index_error(number: int):
    with pytest.raises(IndexError, match="of a space of 6"):
        Space({"a": range(6)})[number]


def test_the_reference_grid_is_encoded_and_walked_fast():
    space = Space(REFERENCE)
    started = time.perf_counter()
    assert sum(1 for _ in space.encoded_points()) == 26_160
    assert time.perf_counter() - started < 0.3  # about 0.03 on two cores of a cloud machine


def test_a_space_survives_json():
    space = Space(
        [
            {"estimator": [LogisticRegression(C=3.0), DecisionTreeClassifier()], "x": [(1, 2), None, float("inf")]},
            {"b": range(9, 0, -2), "a": np.array([0.1, 0.2])},
            {},
        ]
    )
    encoded = json.loads(json.dumps(space.encode()))
    decoded = Space.decode(encoded)
    assert decoded.encode() == space.encode()
    assert decoded[12]["a"] == 0.2
    assert decoded[0]["x"] == (1, 2)
    assert decoded[0]["estimator"].C == 3.0
    assert decoded.grids[1]["b"] == range(9, 0, -2)


def test_equal_spaces_have_equal_json():
    assert json.dumps(Space({"a": [1], "b": [2]}).encode()) == json.dumps(Space([{"b": (2,), "a": [1]}]).encode())


def test_encoded_values_are_shared_between_trials():
    first, second = (point for _, point in Space({"a": [1, 2], "e": [LogisticRegression()]}).encoded_points())
    assert first["e"] is second["e"]
    assert first["e"] == {"__estimator__": "sklearn.linear_model.LogisticRegression", "params": {}}


@pytest.mark.parametrize(
    ("grids", "where"),
    [
        ({"objective": ["a", print]}, r"param_grid\['objective'\]\[1\]"),
        ([{"a": [1]}, {"w": [np.ones((2, 2, 2))]}], r"param_grid\[1\]\['w'\]\[0\]"),
        ({"a": range(2**63)}, r"param_grid\['a'\] = range\(0, 9223372036854775808\): integers must fit in 64 bits"),
    ],
)
def test_a_value_that_can_not_travel_is_named_at_the_call(grids, where: str):
    space = Space(grids)
    with pytest.raises(InputError, match=where):
        space.encode()
    with pytest.raises(InputError, match=where):
        space.encoded_points()


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ({}, r"param_grid=\{\} is empty"),
        ([], r"param_grid=\[\] is empty"),
        ({"a": []}, r"param_grid\['a'\] is empty"),
        ([{"a": [1]}, {"b": ()}], r"param_grid\[1\]\['b'\] is empty"),
        ({"a": range(0)}, r"param_grid\['a'\] is empty"),
        ({"a": np.array([])}, r"param_grid\['a'\] is empty"),
        ({"a": np.ones((2, 2))}, r"param_grid\['a'\] has 2 dimensions"),
        ({"a": np.float64(1)}, r"param_grid\['a'\] has 0 dimensions"),
        ({"a": "gbtree"}, r"param_grid\['a'\] = 'gbtree': pass a list of values, \['gbtree'\]"),
        ({"a": 3}, r"param_grid\['a'\] = 3: pass a list of values, \[3\]"),
        ({"a": None}, r"param_grid\['a'\] = None: pass a list"),
        ({"a": b"x"}, "pass a list of values"),
        ({"a": {1, 2}}, r"param_grid\['a'\] is a set, which has no order"),
        ({"a": {1: 2}}, r"param_grid\['a'\] is a dict"),
        ({"a": (i for i in [1])}, r"param_grid\['a'\] is a generator, which can be read only once"),
        ({1: [1]}, r"param_grid\[1\]: a parameter's name must be text, not int"),
        ([[1]], r"param_grid\[0\] = \[1\]: pass a dict"),
        ("abc", "param_grid='abc': pass a dict"),
        (None, "param_grid=None: pass a dict"),
    ],
)
def test_what_is_no_space_is_refused_with_the_parameter_named(grids, message: str):
    with pytest.raises(InputError, match=message):
        Space(grids)


def test_a_distribution_is_sent_to_the_randomised_search():
    import scipy.stats

    with pytest.raises(InputError, match=r"param_grid\['a'\] is a distribution.*RandomizedSearchCV"):
        Space({"a": scipy.stats.uniform()})


@pytest.mark.parametrize("encoded", [{}, [1], [{"a": 1}], [{"a": {"__range__": [0, 1, 0]}}], [{"a": {"x": [1]}}]])
def test_what_is_no_encoded_space_is_refused(encoded):
    with pytest.raises(InputError, match="encoded"):
        Space.decode(encoded)


def test_the_reference_grid_into_5000_chunks_differs_by_one_at_most():
    chunks = list(split_params(REFERENCE, 5000))
    assert len(chunks) == 5000
    assert {len(chunk) for chunk in chunks} == {5, 6}
    assert [point for chunk in chunks for point in chunk] == list(ParameterGrid(REFERENCE))


@pytest.mark.parametrize("n", [0, 1, 7, 12])
@pytest.mark.parametrize("n_chunks", [1, 2, 5, 12, 13, np.int64(3)])
def test_sizes_add_up_and_none_is_empty(n: int, n_chunks: int):
    sizes = list(split_sizes(n, n_chunks))
    assert sum(sizes) == n
    assert len(sizes) == min(n, n_chunks)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert 0 not in sizes


def test_more_chunks_than_points_give_one_point_each():
    assert list(split_params({"a": [1, 2]}, 9)) == [[{"a": 1}], [{"a": 2}]]


def test_chunks_hold_the_values_themselves():
    value = LogisticRegression()
    assert next(split_params({"estimator": [value]}, 1))[0]["estimator"] is value


@pytest.mark.parametrize("n_chunks", [0, -1, 1.5, True, "3", None])
def test_a_number_of_chunks_below_one_is_refused_at_the_call(n_chunks):
    with pytest.raises(InputError, match=f"n_chunks={n_chunks!r}: needs .*at least 1"):
        split_params({"a": [1]}, n_chunks)


def test_a_bad_grid_is_refused_at_the_call_not_at_the_first_chunk():
    with pytest.raises(InputError, match="is empty"):
        split_params({"a": []}, 2)
