from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from producer.cli.from_file import SPLITTERS, make_cv, make_search
from producer.cli.study_file import Splitter, StudyFile, read_study_file
from warren.errors import InputError

EXAMPLE = Path(__file__).parents[2] / "examples" / "study.yaml"
DATA: dict[str, Any] = {"path": "x.csv", "target": "y"}


def written(folder: Path, text: str, name: str = "study.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def study(**fields: Any) -> StudyFile:
    return StudyFile.model_validate({"data": DATA, "grid": {}} | fields)


def test_the_example_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_study_file(EXAMPLE)
    assert (read.name, read.data.target, read.scoring) == ("breast-cancer", "diagnosis", ["roc_auc", "accuracy"])
    estimator, grids = make_search(read)
    assert estimator is None
    assert [type(grid["estimator"][0]).__name__ for grid in grids] == ["XGBClassifier", "LGBMClassifier"]
    assert grids[0]["estimator"][0].subsample == 0.8
    assert make_cv(read.cv).get_n_splits() == 5


def test_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    read = read_study_file(
        written(tmp_path, "data: {path: x.csv, target: no}\ngrid: {alpha: [1e-3, .inf, 010, yes, null, true]}")
    )
    assert read.data.target == "no"
    assert read.grid == {"alpha": [0.001, math.inf, 10, "yes", None, True]}


def test_a_json_file_says_the_same(tmp_path: Path) -> None:
    content = {"data": DATA, "grid": {"max_depth": [2, 3]}, "estimator": "sklearn.tree.DecisionTreeClassifier"}
    assert read_study_file(written(tmp_path, json.dumps(content), "study.json")) == StudyFile.model_validate(content)


def test_options_take_the_place_of_the_files_data(tmp_path: Path) -> None:
    path = written(tmp_path, "data: {path: x.csv, target: y, drop: [id]}\ngrid: {}")
    read = read_study_file(path, {"path": "/other.parquet", "target": "z"})
    assert (read.data.path, read.data.target, read.data.drop) == ("/other.parquet", "z", ["id"])
    assert read_study_file(written(tmp_path, "grid: {}", "bare.yaml"), DATA).data.path == "x.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scorng: f1", "unknown key 'scorng': did you mean 'scoring'?"),
        ("data: {path: x.csv, target: y, traget: z}", "unknown key 'data.traget': did you mean 'target'?"),
        ("data: {path: x.csv}", "'data.target' is missing"),
        ("data: x.csv", "data: needs a valid mapping"),
        ("cv: five", "cv: needs a number of folds, or {splitter: KFold, n_splits: 5}, not 'five'"),
        ("cv: {n_splits: 5}", "'cv.splitter' is missing"),
        ("cv: true", "cv: needs a number of folds"),
        ("grid: 3", "grid: needs a mapping of names to lists of values, or a list of such mappings, not 3"),
        ("grid: [3]", "grid.0: needs a valid mapping, not 3"),
        ("scoring: 3", "scoring: needs the name of a scorer, a list of names, or a mapping"),
        ("error_score: ignore", "error_score: needs a number, nan for one, or 'raise', not 'ignore'"),
        ("trial_timeout: 0", "trial_timeout: needs seconds, more than 0, or None, not 0"),
        ("chunks: 0", "chunks: needs an integer, at least 1, or None, not 0"),
        ("share_fits: 3", "share_fits: needs True or False, not 3"),
        ("name: 3", "name: needs text in Unicode of 1 to 100 characters"),
        ("name: a\nname: b", "no YAML: "),
        ("grid: {", "no YAML: "),
    ],
)
def test_what_a_study_has_not_is_named(tmp_path: Path, text: str, said: str) -> None:
    given = {line.partition(":")[0] for line in text.splitlines()}
    rest = {"data": "data: {path: x.csv, target: y}", "grid": "grid: {a: [1]}"}
    path = written(tmp_path, "\n".join([*(line for key, line in rest.items() if key not in given), text]))
    with pytest.raises(InputError) as caught:
        read_study_file(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "data: {path: x.csv}\ngrid: {}\ncv: five\nnaem: z")
    with pytest.raises(InputError) as caught:
        read_study_file(path)
    assert all(said in str(caught.value) for said in ("'data.target' is missing", "cv: needs", "'naem'"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("study.yaml", b"a: [1", "study.yaml:1:"),
        ("study.json", b'{"a" 1}', "study.json:1:6: no JSON: Expecting ':'"),
        ("study.yaml", b"- a", "a study is a mapping with the keys scoring, cv"),
        ("study.yaml", b"", "a study is a mapping with the keys scoring, cv"),
        ("study.yaml", b"a: \xff\xfe", "is no UTF-8 text"),
    ],
)
def test_what_is_no_study_file_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=".") as caught:
        read_study_file(tmp_path / name)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: can't be read \(No such file"):
        read_study_file(tmp_path / "nowhere.yaml")


def test_a_yaml_file_constructs_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "data: !!python/object/apply:os.getcwd []\ngrid: {}")
    with pytest.raises(InputError, match="no YAML"):
        read_study_file(path)


def test_one_estimator_serves_one_grid_or_several() -> None:
    one = study(estimator="sklearn.linear_model.Ridge", params={"alpha": 2.0}, grid={"alpha": [1.0]})
    estimator, grid = make_search(one)
    assert (estimator.alpha, grid) == (2.0, {"alpha": [1.0]})
    several = study(estimator="sklearn.linear_model.Ridge", grid=[{"alpha": [1.0]}, {"tol": [0.1]}])
    estimator, grids = make_search(several)
    assert type(estimator).__name__ == "Ridge"
    assert grids == [{"alpha": [1.0]}, {"tol": [0.1]}]


def test_a_grid_may_fix_parameters_of_its_own_beside_the_common_ones() -> None:
    estimator, grids = make_search(
        study(
            estimator="sklearn.linear_model.Ridge",
            params={"tol": 0.5},
            grid=[
                {"alpha": [1.0]},
                {"params": {"solver": "svd"}, "alpha": [2.0]},
                {"estimator": "sklearn.linear_model.Lasso", "alpha": [3.0]},
            ],
        )
    )
    made = [grid["estimator"][0] for grid in grids]
    assert estimator is None
    assert [type(one).__name__ for one in made] == ["Ridge", "Ridge", "Lasso"]
    assert [(one.tol, getattr(one, "solver", None)) for one in made[:2]] == [(0.5, "auto"), (0.5, "svd")]
    assert made[2].tol == 1e-4
    assert [grid["alpha"] for grid in grids] == [[1.0], [2.0], [3.0]]


def test_a_parameter_may_be_called_estimator() -> None:
    tree = {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 2}}
    estimator, grid = make_search(
        study(estimator="sklearn.ensemble.BaggingClassifier", grid={"estimator": [tree], "n_estimators": [3]})
    )
    assert type(estimator).__name__ == "BaggingClassifier"
    assert grid["estimator"][0].max_depth == 2


def test_a_tuple_is_written_as_messages_carry_it() -> None:
    _, grid = make_search(
        study(
            estimator="sklearn.neural_network.MLPClassifier",
            grid={"hidden_layer_sizes": [{"__tuple__": [64, 64]}]},
        )
    )
    assert grid == {"hidden_layer_sizes": [(64, 64)]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"grid": {"a": [1]}}, "estimator is missing: write, for example, `estimator: xgboost.XGBClassifier`"),
        ({"grid": [{"params": {}, "a": [1]}]}, "grid[0].estimator is missing"),
        ({"estimator": "os.system", "grid": {}}, "estimator: estimator 'os.system' is not on the allow-list"),
        ({"estimator": "xgboost.XGBClasifier", "grid": {}}, "is no estimator class"),
        (
            {"grid": [{"estimator": "sklearn.linear_model.Ridge", "params": {"alhpa": 1}}]},
            "grid[0].params: Ridge has no parameter 'alhpa'; the closest name is 'alpha'",
        ),
        (
            {"estimator": "xgboost.XGBClassifier", "params": {"max_dept": 1}, "grid": {}},
            "params: XGBClassifier has no parameter 'max_dept'; the closest name is 'max_depth'",
        ),
        ({"estimator": "sklearn.linear_model.Ridge", "grid": {"alpha": 3}}, "grid.alpha: 3 is not a list of values"),
        ({"estimator": "sklearn.linear_model.Ridge", "grid": {"solver": "svd"}}, "write [svd]"),
        ({"grid": [{"estimator": 3}]}, "grid[0].estimator: needs a dotted name (xgboost.XGBClassifier), not 3"),
        (
            {"grid": [{"estimator": "sklearn.linear_model.Ridge", "params": 3}]},
            "grid[0].params: needs a mapping of fixed parameters, not 3",
        ),
        ({"estimator": "sklearn.linear_model.Ridge", "grid": {"alpha": [{"__class__": 1}]}}, "reserved key"),
    ],
)
def test_an_estimator_or_grid_that_cannot_be_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        make_search(study(**fields))
    assert said in str(caught.value)


def test_every_splitter_on_the_list_is_there() -> None:
    import sklearn.model_selection

    assert all(hasattr(sklearn.model_selection, name) for name in SPLITTERS)


def test_cv_is_a_number_or_a_splitter() -> None:
    assert make_cv(3) == 3
    made = make_cv(study(cv={"splitter": "KFold", "n_splits": 4}).cv)
    assert (type(made).__name__, made.n_splits, made.shuffle) == ("KFold", 4, False)
    assert make_cv(Splitter(splitter="LeaveOneOut")) is not None


@pytest.mark.parametrize(
    ("cv", "said"),
    [
        ({"splitter": "KFlod"}, "cv.splitter: 'KFlod' can't be used here: did you mean 'KFold'?"),
        ({"splitter": "check_cv"}, "cv.splitter: 'check_cv' can't be used here"),
        ({"splitter": "KFold", "n_spilts": 3}, "cv: KFold has no parameter 'n_spilts': did you mean 'n_splits'?"),
        ({"splitter": "LeaveOneOut", "n_splits": 3}, "cv: LeaveOneOut has no parameter 'n_splits': it has none"),
        ({"splitter": "KFold", "n_splits": 1}, "cv: KFold: "),
        ({"splitter": "KFold", "shuffle": True}, "set a random_state"),
        ({"splitter": "ShuffleSplit"}, "set a random_state"),
        ({"splitter": "RepeatedKFold", "random_state": None}, "set a random_state"),
    ],
)
def test_a_splitter_that_cannot_be_is_named(cv: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        make_cv(study(cv=cv).cv)
    assert said in str(caught.value)
