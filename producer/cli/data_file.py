"""Reads the columns of a CSV or Parquet file for `producer.submit`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from producer.cli.study_file import DataFile
from producer.formatting import did_you_mean, listing, plural
from warren.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data of a file.

    Attributes
    ----------
    X : DataFrame of shape (n_samples, n_features)
    y : Series of shape (n_samples,)
    sample_weight, groups : Series of shape (n_samples,), or None
    """

    X: pd.DataFrame
    y: pd.Series[Any]
    sample_weight: pd.Series[Any] | None
    groups: pd.Series[Any] | None


def read_data(wanted: DataFile, folder: Path) -> Data:
    """Read the data that a study's file names.

    Parameters
    ----------
    wanted : DataFile
        Path and columns.
    folder : Path
        The base of a relative path.

    Returns
    -------
    Data

    Raises
    ------
    InputError
        The file can't be read, a column is missing or has two roles, or the study's file does not
        say how to use a text column.
    """
    path = folder / wanted.path
    frame = _read(path)
    roles = {"target": wanted.target, "weight": wanted.weight, "group": wanted.group}
    single = {role: name for role, name in roles.items() if name is not None}
    for role, name in single.items():
        _check_column(frame, name, f"data.{role}", path)
    for role in ("drop", "categories", "text"):
        for name in getattr(wanted, role):
            _check_column(frame, name, f"data.{role}", path)
    for name in set(single.values()):
        if len(among := [role for role, other in single.items() if other == name]) > 1:
            raise InputError(f"data: column {name!r} can't be {' and '.join(among)} at once")
    X = frame.drop(columns=[*single.values(), *wanted.drop])
    if X.columns.empty:
        raise InputError(f"{path}: no column is left to learn from")
    for name in wanted.categories:
        if name in X:
            X[name] = X[name].astype("category")
    _check_text(X, wanted.text, path)
    return Data(
        X=X,
        y=frame[wanted.target],
        sample_weight=None if wanted.weight is None else frame[wanted.weight],
        groups=None if wanted.group is None else frame[wanted.group],
    )


def encode_labels(y: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    """Encode text labels as 0, 1, ... in alphabetical order; return them and their names.

    XGBoost and the scorers accept no text labels. Numeric labels, and labels with missing values,
    are returned unchanged, without names.
    """
    if (not _is_text(y) and not isinstance(y.dtype, pd.CategoricalDtype)) or y.isna().any():
        return y, []
    names = sorted(y.unique())
    return y.map({name: code for code, name in enumerate(names)}).astype(int), [str(name) for name in names]


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            frame = pd.read_parquet(path)
        elif ".csv" in [suffix.lower() for suffix in path.suffixes[-2:]]:
            frame = pd.read_csv(path)
        else:
            raise InputError(f"{path}: pass a .csv or .parquet file")
    except OSError as exc:
        raise InputError(f"{path}: can't be read ({exc.strerror or exc})") from exc
    except (ValueError, pd.errors.ParserError) as exc:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: can't be read ({exc})") from exc
    if frame.empty:
        raise InputError(f"{path}: the file has no rows")
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _check_column(frame: pd.DataFrame, name: str, role: str, path: Path) -> None:
    if name not in frame:
        raise InputError(f"{role}: {path.name} has no column {name!r}: {did_you_mean(name, frame.columns)}")


def _check_text(X: pd.DataFrame, text: Iterable[str], path: Path) -> None:
    """Refuse text columns without a declared use: categories of names or dates would overfit."""
    declared = set(text)
    undeclared = [str(name) for name in X if name not in declared and _is_text(X[name])]
    if undeclared:
        raise InputError(
            f"{path.name}: text in {plural(len(undeclared), 'column')}: {listing(undeclared, 12)}; list them under "
            "`categories` (or `drop`, or `text` for an estimator that takes text) in the study's `data`"
        )


def _is_text(column: pd.Series[Any]) -> bool:
    return not isinstance(column.dtype, pd.CategoricalDtype) and (
        pd.api.types.is_string_dtype(column.dtype) or column.dtype == object
    )
