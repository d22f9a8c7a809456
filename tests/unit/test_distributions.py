"""A space's parameters as Optuna holds them: one distribution a name, over all grids."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from producer.space.space import Space
from producer.views.optuna.distributions import Parameters


def parameters(grids: Any) -> Parameters:
    return Parameters.of(Space(grids).encode())


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ([3, 5, 9], IntDistribution(3, 9)),
        (range(9, 1, -2), IntDistribution(3, 9)),
        ([7], IntDistribution(7, 7)),
        ([1, 10, 100], IntDistribution(1, 100, log=True)),
        ([1, 2, 3, 50], IntDistribution(1, 50, log=True)),
        (range(1, 1_000_000_000), IntDistribution(1, 999_999_999)),
        ([0.1, 0.2, 0.3], FloatDistribution(0.1, 0.3)),
        ([0.001, 0.01, 0.1], FloatDistribution(0.001, 0.1, log=True)),
        ([0.0, 0.01, 0.1], FloatDistribution(0.0, 0.1)),
        ([1, 0.5], FloatDistribution(0.5, 1.0)),
        (["a", "b"], CategoricalDistribution(("a", "b"))),
        ([4, None], CategoricalDistribution((4, None))),
        ([True, False], CategoricalDistribution((True, False))),
    ],
)
def test_values_have_the_narrowest_distribution_that_holds_them(values: Any, distribution: Any) -> None:
    found = parameters({"p": values}).distributions["p"]
    assert found == distribution
    assert type(found) is type(distribution)


def test_several_grids_have_one_distribution_a_name() -> None:
    numbers = parameters([{"p": [3, 5]}, {"p": range(1, 3)}, {"q": [0.5]}])
    assert numbers.distributions == {"p": IntDistribution(1, 5), "q": FloatDistribution(0.5, 0.5)}
    assert list(numbers.space) == [{"p": 3}, {"p": 5}, {"p": 1}, {"p": 2}, {"q": 0.5}]

    mixed = parameters([{"p": [3, 5]}, {"p": [4, None]}, {"p": range(5, 7)}])
    assert mixed.distributions == {"p": CategoricalDistribution((3, 5, 4, None, 6))}
    assert [point["p"] for point in mixed.space] == [3, 5, 4, None, 5, 6]

    floats = parameters([{"p": [3, 5]}, {"p": [0.5]}])
    assert [(point["p"], type(point["p"])) for point in floats.space] == [(3.0, float), (5.0, float), (0.5, float)]


def test_what_optuna_cannot_hold_is_readable_text() -> None:
    values = [
        (100, 50),
        (100,),
        {"a": 1},
        [1, "x"],
        float("inf"),
        float("nan"),
        float("-inf"),
        "text",
        (1, (2.5, None)),
    ]
    found = parameters({"p": values})
    shown = ["(100, 50)", "(100,)", "{'a': 1}", "[1, 'x']", "inf", "nan", "-inf", "text", "(1, (2.5, None))"]
    assert found.distributions["p"].choices == tuple(shown)
    assert [point["p"] for point in found.space] == shown


def test_estimators_of_one_class_are_shown_by_their_parameters() -> None:
    by_class = parameters([{"estimator": [LogisticRegression(C=2.0)]}, {"estimator": [Ridge()]}])
    assert by_class.distributions["estimator"].choices == ("LogisticRegression", "Ridge")
    more = parameters({"e": [KNeighborsClassifier(n_neighbors=3), KNeighborsClassifier(n_neighbors=4), Ridge()]})
    assert more.distributions["e"].choices == (
        "KNeighborsClassifier(n_neighbors=3)",
        "KNeighborsClassifier(n_neighbors=4)",
        "Ridge",
    )


def test_values_that_are_equal_to_python_stay_apart() -> None:
    found = parameters({"p": [1, 1.0, True, "1"]})
    choices = found.distributions["p"].choices
    assert len(set(choices)) == 4
    # What is chosen, Optuna finds again.
    for number, point in enumerate(found.space):
        assert found.distributions["p"].to_internal_repr(point["p"]) == number
    assert parameters({"p": [2, 2]}).distributions["p"] == IntDistribution(2, 2)


def test_long_choices_are_cut_and_stay_apart() -> None:
    found = parameters({"p": ["x" * 500 + "a", "x" * 500 + "b"]})
    first, second = found.distributions["p"].choices
    assert first != second
    assert len(first) <= len(second) < 100


def test_a_list_of_points_is_read_in_one_go() -> None:
    drawn = [{"p": [number / 7], "q": ["a" if number % 2 else "b"]} for number in range(5_000)]
    found = parameters(drawn)
    assert found.distributions["p"] == FloatDistribution(0.0, 4999 / 7)
    assert found.space[4_999] == {"p": 4999 / 7, "q": "a"}


def test_no_learner_is_needed_to_read_a_space() -> None:
    encoded = [{"estimator": [{"__estimator__": "nowhere.NoClassifier", "params": {"depth": 3}}], "depth": [1, 2]}]
    assert Parameters.of(encoded).space[1] == {"depth": 2, "estimator": "NoClassifier"}
