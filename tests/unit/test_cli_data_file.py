from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producer.cli.data_file import encode_labels, read_data
from producer.cli.study_file import DataFile
from warren.errors import InputError

FRAME = pd.DataFrame(
    {
        "age": [31, 42, 53, 64],
        "city": ["Rome", "Oslo", None, "Rome"],
        "weight": [1.0, 2.0, 1.0, 2.0],
        "clinic": [1, 1, 2, 2],
        "ill": ["yes", "no", "no", "yes"],
    }
)


@pytest.fixture(params=["data.csv", "data.csv.gz", "data.parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found = tmp_path / str(request.param)
    FRAME.to_parquet(found) if found.suffix == ".parquet" else FRAME.to_csv(found, index=False)
    return found


def wanted(path: Path, **fields: Any) -> DataFile:
    return DataFile(path=path.name, **({"target": "ill"} | fields))


def test_columns_take_their_roles(path: Path) -> None:
    data = read_data(wanted(path, weight="weight", group="clinic", categories=["city"]), path.parent)
    assert list(data.X) == ["age", "city"]
    assert list(data.X["city"].cat.categories) == ["Oslo", "Rome"]
    assert data.X["city"].isna().tolist() == [False, False, True, False]
    assert data.y.tolist() == ["yes", "no", "no", "yes"]
    assert data.sample_weight is not None
    assert data.sample_weight.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert data.groups is not None
    assert data.groups.tolist() == [1, 1, 2, 2]


def test_numbers_may_be_categories_and_columns_left_out(path: Path) -> None:
    data = read_data(wanted(path, drop=["city", "weight"], categories=["clinic"]), path.parent)
    assert [str(dtype) for dtype in data.X.dtypes] == ["int64", "category"]


def test_text_needs_a_word_on_what_it_is(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_data(wanted(path), path.parent)
    assert "text in 1 column: city; list them under `categories` (or `drop`, or `text`" in str(caught.value)
    assert pd.api.types.is_string_dtype(read_data(wanted(path, text=["city"]), path.parent).X["city"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "il"}, "has no column 'il': did you mean 'ill'?"),
        ({"target": "zzz"}, "has no column 'zzz': choose from age, city, weight, clinic, ill"),
        ({"weight": "wieght"}, "data.weight: "),
        ({"group": "ill"}, "column 'ill' can't be target and group at once"),
        ({"drop": ["name"]}, "data.drop: "),
        ({"categories": ["town"]}, "data.categories: "),
        ({"drop": ["age", "city", "weight", "clinic"]}, "no column is left to learn from"),
    ],
)
def test_a_column_that_cannot_be_is_named(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(InputError) as caught:
        read_data(wanted(tmp_path / "data.csv", **fields), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.txt", b"a", "pass a .csv or .parquet file"),
        ("data.csv", b"", "can't be read"),
        ("data.csv", b"ill,a\n", "no rows"),
        ("data.parquet", b"ill,a\n", "can't be read"),
        ("data.csv", b'a,ill\n1,2\n3,4,5\n"', "can't be read"),
    ],
)
def test_a_file_that_holds_no_data_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_data(wanted(tmp_path / name), tmp_path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: can't be read"):
        read_data(wanted(tmp_path / "nowhere.csv"), tmp_path)


def test_text_labels_become_numbers_in_alphabetical_order() -> None:
    codes, names = encode_labels(FRAME["ill"])
    assert codes.tolist() == [1, 0, 0, 1]
    assert names == ["no", "yes"]


def test_labels_that_are_numbers_or_have_gaps_stay() -> None:
    for labels in (FRAME["clinic"], FRAME["city"], FRAME["clinic"] == 1):
        codes, names = encode_labels(labels)
        assert codes is labels
        assert names == []
