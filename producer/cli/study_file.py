"""A study in a file: what ``warren submit`` takes, checked before anything is imported by its name.

::

    name: breast-cancer
    data: {path: breast_cancer.csv, target: diagnosis}
    estimator: xgboost.XGBClassifier
    params: {subsample: 0.8}                   # fixed
    grid: {max_depth: [2, 4], learning_rate: [0.05, 0.1]}
    cv: {splitter: StratifiedKFold, n_splits: 5, shuffle: true, random_state: 0}
    scoring: [accuracy, roc_auc]

The file is YAML 1.2 (https://yaml.org/spec/1.2.2/), so ``1e-3`` is a number and ``no`` is text, or
JSON. A grid may be a list of grids, and each may bring its own ``estimator`` and ``params``. What
YAML has no word for is written as messages carry it (`warren.encoding.codec`):
``{__tuple__: [64, 64]}``,
``{__estimator__: sklearn.linear_model.LogisticRegression, params: {C: 0.1}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from producer.formatting import did_you_mean, short
from producer.options import StudyOptions
from warren.errors import InputError

# What a place needs that is no option of `producer.submit`, or takes less than that does.
_NEEDS = {
    "grid": "a mapping of names to lists of values, or a list of such mappings",
    "cv": "a number of folds, or {splitter: KFold, n_splits: 5}",
    "scoring": "the name of a scorer, a list of names, or a mapping of your names to such",
}
# Options that a file calls otherwise.
_WORDS = {"n_chunks": "chunks"}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataFile(_Record):
    """Where the data lies, and what its columns are.

    Attributes
    ----------
    path : str
        CSV (also compressed, ``.csv.gz``) or Parquet; relative to the study's file.
    target : str
        The column to predict.
    weight, group : str or None
        Columns of sample weights and of groups for the splitter.
    drop : list of str
        Columns to leave out.
    categories : list of str
        Columns, of text or numbers, to be read as categories.
    text : list of str
        Columns to leave text, for an estimator that takes it.
    """

    path: str
    target: str
    weight: str | None = None
    group: str | None = None
    drop: list[str] = []
    categories: list[str] = []
    text: list[str] = []


class Splitter(_Record):
    """A splitter of scikit-learn, and its parameters beside it."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    splitter: str


class StudyFile(StudyOptions):
    """What the file says: the options of `producer.submit`, and what the study is made of."""

    model_config = ConfigDict(alias_generator=lambda name: _WORDS.get(name, name))

    data: DataFile
    estimator: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, Any] | list[dict[str, Any]]
    cv: StrictInt | Splitter = 5
    scoring: str | list[str] | dict[str, str] | None = None

    def options(self) -> dict[str, Any]:
        """Return the options as `producer.submit` takes them."""
        return {name: getattr(self, name) for name in StudyOptions.model_fields}


# What a file calls its fields, and what they are called here.
KEYS = {str(field.alias): name for name, field in StudyFile.model_fields.items()}


def read_study_file(path: Path, data: Mapping[str, str] | None = None) -> StudyFile:
    """Read and check a study's file.

    Parameters
    ----------
    path : Path
        A YAML file, or JSON if its name ends so.
    data : mapping of str to str, default=None
        Fields of its ``data`` to put in place of the file's.

    Returns
    -------
    StudyFile

    Raises
    ------
    InputError
        It can't be read or parsed, or says something that a study has not. The text names
        file and place.
    """
    content = _parse(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: a study is a mapping with the keys {', '.join(KEYS)}")
    if data:
        written = content.get("data")
        content = content | {"data": (written if isinstance(written, dict) else {}) | dict(data)}
    try:
        return StudyFile.model_validate(content)
    except ValidationError as exc:
        raise InputError(f"{path}: {'; '.join(_problems(exc))}") from None


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise InputError(f"{path}: can't be read ({exc.strerror})") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is no UTF-8 text; a study's file is YAML or JSON") from exc
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as exc:
            raise InputError(f"{path}:{exc.lineno}:{exc.colno}: no JSON: {exc.msg}") from None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        # The reader in C knows YAML 1.1 only.
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{path}{place}: no YAML: {exc.problem or exc.context}") from None
    except YAMLError as exc:
        raise InputError(f"{path}: no YAML: {exc}") from None


def _problems(exc: ValidationError) -> list[str]:
    """One line for each place in the file that is wrong, in the words of the file."""
    found: dict[str, str] = {}
    for error in exc.errors(include_url=False):
        # Where a field takes several types, pydantic adds the type to the place: leave
        # what is no key.
        keys = [str(part) for part in error["loc"] if not _is_type(part)]
        where = ".".join(keys)
        match error["type"]:
            case "extra_forbidden":
                known = DataFile.model_fields if keys[:-1] == ["data"] else KEYS
                text = f"unknown key {where!r}: {did_you_mean(keys[-1], known)}"
            case "missing":
                text = f"{where!r} is missing"
            case _:
                option = KEYS.get(where, "")
                needs = _NEEDS.get(where) or (StudyOptions.needs(option) if option in StudyOptions.model_fields else "")
                needs = needs or error["msg"].replace("Input should be ", "").replace("dictionary", "mapping")
                text = f"{where}: needs {needs}, not {short(error['input'])}"
        found.setdefault(where, text)
    # A problem within a value says more than one with the value as a whole.
    return [text for where, text in found.items() if not any(other.startswith(f"{where}.") for other in found)]


def _is_type(part: int | str) -> bool:
    return isinstance(part, str) and (part in {"int", "str", "float", "Splitter"} or "[" in part)
