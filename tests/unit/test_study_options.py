"""The options of a study: what each takes, and that all who hand them on know all of them."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from producer import GridSearchCV, RandomizedSearchCV, submit
from producer.cli.study_file import KEYS, StudyFile
from producer.options import StudyOptions
from warren.errors import InputError

NAMES = set(StudyOptions.model_fields)
# What scikit-learn's searches have by these names too, with defaults of their own.
THEIRS = {"scoring", "cv", "refit"}


@pytest.mark.parametrize("name", ["a\ud800b", "caf\udce9", "n" * 99 + "\udfff", "a\x00b"])
def test_a_name_that_is_no_unicode_is_refused_and_still_shown(name: str) -> None:
    with pytest.raises(InputError, match="pass text in Unicode") as caught:
        StudyOptions.of({"name": name})
    assert str(caught.value).encode(), "it can be printed"


@pytest.mark.parametrize("name", ["Größe 日本 \U0001f407", " spaced ", "it's mine"])
def test_a_name_in_unicode_is_taken(name: str) -> None:
    assert StudyOptions.of({"name": name}).name == name.strip()


REFUSED: list[tuple[str, Any, str]] = [
    *(("name", value, "text in Unicode of 1 to 100 characters") for value in (3, b"x", "", " ", "n" * 101)),
    *(("n_chunks", value, "an integer, at least 1, or None") for value in (0, -1, 1.5, "3", True)),
    *(("priority", value, "a whole number from 1 to 9") for value in (0, 10, 1.0, "high", True, None)),
    *(("trial_timeout", value, "seconds, more than 0, or None") for value in (0, -1.0, math.inf, math.nan, "9", True)),
    *(("error_score", value, "a number, nan for one, or 'raise'") for value in ("ignore", None, True)),
    *(("validation_fraction", value, "a share between 0 and 1") for value in (0, 5, -0.1, 0.0, 1.0, True, "0.1")),
    *(("device", value, "'gpu' or 'cpu', or None") for value in ("cuda", "GPU", 0, ["gpu"])),
    *(("share_fits", value, "True or False") for value in ("no", 2, None)),
    *(("return_train_score", value, "True or False") for value in ("no", 2, None)),
    ("refit", 3, "the name of a metric, or None"),
]


@pytest.mark.parametrize(("name", "value", "needs"), REFUSED)
def test_an_option_that_cannot_be_used_is_named(name: str, value: Any, needs: str) -> None:
    with pytest.raises(InputError) as caught:
        StudyOptions.of({"priority": 3, name: value})
    assert str(caught.value).startswith(f"{name}={value!r}: pass {needs}" if value != "n" * 101 else "name='nnn")
    assert needs in str(caught.value)


def test_scalars_of_numpy_are_numbers() -> None:
    given = {"priority": np.int64(3), "n_chunks": np.int32(2), "error_score": np.float32(0.5), "share_fits": np.False_}
    options = StudyOptions.of(given)
    assert {name: getattr(options, name) for name in given} == {
        "priority": 3,
        "n_chunks": 2,
        "error_score": 0.5,
        "share_fits": False,
    }
    assert {type(getattr(options, name)) for name in given} == {int, float, bool}


def test_what_only_data_and_estimators_can_tell_is_left_alone() -> None:
    splits = iter([([0], [1])])
    scoring = {"a": Fraction}
    options = StudyOptions.of({"cv": splits, "scoring": scoring})
    assert options.cv is splits
    assert options.scoring is scoring


def test_submit_takes_every_option_with_its_default() -> None:
    given = inspect.signature(submit).parameters
    data = {"estimator", "param_grid", "X", "y", "groups", "sample_weight"}
    assert given.keys() - data == NAMES
    for name, field in StudyOptions.model_fields.items():
        assert repr(given[name].default) == repr(field.default), name
        assert f"\n    {name} : " in (submit.__doc__ or "")


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_a_search_takes_every_option(search: Any) -> None:
    given = inspect.signature(search).parameters
    assert given.keys() >= NAMES
    for name in NAMES - THEIRS:
        assert repr(given[name].default) == repr(StudyOptions.model_fields[name].default), name
        assert name in (search.__doc__ or "")


def test_a_file_takes_every_option_and_help_describes_it() -> None:
    assert set(KEYS.values()) >= NAMES
    assert all(field.description for field in StudyOptions.model_fields.values())
    plain = StudyFile.model_validate({"data": {"path": "x.csv", "target": "y"}, "grid": {}})
    assert repr(plain.options()) == repr(StudyOptions().model_dump())
