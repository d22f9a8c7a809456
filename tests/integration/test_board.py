"""The log folder that TensorBoard reads: it mirrors the studies of the database."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.tree import DecisionTreeClassifier
from submitting import TWELVE, stored, submit_trees
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from producer import Study
from producer.views.tensorboard.log_folder import Board
from warren.errors import InputError
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store
from warren.storage.study_document import StudyKey


def result(study: Study, number: int, params: dict[str, Any] | None = None, **fields: Any) -> Document:
    return {
        "_id": trial_id(study.id, number),
        "study_id": study.id,
        "number": number,
        "estimator": "DecisionTreeClassifier",
        "params": TWELVE[number] if params is None else params,
        "state": "COMPLETE",
        "error": None,
        "mean_test_score": number / 100,
        "split_test_score": [0.1, 0.2, 0.3],
        "fit_seconds": 0.25,
        "score_seconds": 0.25,
        "saved_seconds": 0.0,
        "estimated_seconds": 0.1,
        "started_at": now(),
        "finished_at": now(),
        **fields,
    }


def write(store: Store, *documents: Document) -> None:
    """Write results as a worker would."""
    assert len(store.trials.insert([pack(one) for one in documents])) == len(documents)
    store.add_progress(documents[0]["study_id"], documents)


@pytest.fixture
def board(store: Store, tmp_path: Path) -> Iterator[Board]:
    made = Board(store, tmp_path / "logs")
    yield made
    made.close()


def events(folder: Path) -> list[Event]:
    """Read the one event file of a folder."""
    [path] = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def plugin_data(folder: Path, tag: str) -> HParamsPluginData:
    [value] = [one for event in events(folder) for one in event.summary.value if one.tag == f"_hparams_/{tag}"]
    return HParamsPluginData.FromString(value.metadata.plugin_data.content)


def parameters(folder: Path) -> dict[str, Any]:
    found = plugin_data(folder, "session_start_info").session_start_info.hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in found.items()}


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): pytest.approx(value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    }


def runs(folder: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in folder.glob("*/events.out.tfevents.*"))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("events.*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_trial_is_a_run_with_its_parameters_and_scores(store: Store, board: Board) -> None:
    study = submit_trees()
    write(store, result(study, 4), result(study, 9, state="FAILED", error="fold 1: no", mean_test_score=float("nan")))
    found = board.refresh()
    assert (found.written, found.removed, found.shown, found.ended, found.studies) == (2, 0, 2, 2, 1)
    run = board.folder / study.id / "4"
    expected = {"max_depth": "2", "min_samples_leaf": 2.0, "estimator": "DecisionTreeClassifier", "study": study.id}
    assert parameters(run) == expected
    folds = {("split_test_score", 0): 0.1, ("split_test_score", 1): 0.2, ("split_test_score", 2): 0.3}
    assert scalars(run) == {("mean_test_score", 0): 0.04, ("fit_seconds", 0): 0.25, **folds}
    assert plugin_data(run, "session_end_info").session_end_info.status == api_pb2.STATUS_SUCCESS

    failed = board.folder / study.id / "9"
    assert plugin_data(failed, "session_end_info").session_end_info.status == api_pb2.STATUS_FAILURE
    assert ("mean_test_score", 0) not in scalars(failed)
    [said] = [value for event in events(failed) for value in event.summary.value if value.tag == "error"]
    assert said.tensor.string_val == [b"    fold 1: no"]


def test_the_tables_columns_are_those_of_the_study(store: Store, board: Board) -> None:
    many = list(range(1, 31))
    study = submit_trees(grid={"max_depth": [1, None], "min_samples_leaf": many}, scoring=["accuracy", "roc_auc"])
    board.refresh()
    experiment = plugin_data(board.folder, "experiment").experiment
    columns = {info.name: info for info in experiment.hparam_infos}
    assert set(columns) == {"estimator", "max_depth", "min_samples_leaf"}
    assert columns["max_depth"].type == api_pb2.DATA_TYPE_STRING
    assert list(columns["max_depth"].domain_discrete) == ["1", "None"]
    leaf = columns["min_samples_leaf"]
    assert (leaf.type, leaf.domain_interval.min_value, leaf.domain_interval.max_value) == (
        api_pb2.DATA_TYPE_FLOAT64,
        1,
        30,
    )
    tags = [info.name.tag for info in experiment.metric_infos]
    assert tags == ["mean_test_accuracy", "mean_test_roc_auc", "fit_seconds"]

    # A second study: one column says which, and numbers that are text in one of them are
    # text in both.
    write(store, result(study, 0, {"max_depth": 1, "min_samples_leaf": 1}))
    board.refresh()
    other = submit_trees(grid={"min_samples_leaf": [1, 2], "criterion": ["gini"], "max_depth": [7, 8]}, name="other")
    write(store, result(other, 0, {"min_samples_leaf": 1, "criterion": "gini", "max_depth": 7}))
    for _ in range(2):
        board.refresh()
    experiment = plugin_data(board.folder, "experiment").experiment
    names = {info.name for info in experiment.hparam_infos}
    assert names == {"study", "estimator", "max_depth", "min_samples_leaf", "criterion"}
    assert parameters(board.folder / other.id / "0")["max_depth"] == "7"


def test_trials_that_end_are_added_and_nothing_is_written_twice(store: Store, board: Board) -> None:
    study = submit_trees()
    write(store, *(result(study, number) for number in range(3)))
    board.refresh()
    before = contents(board.folder)
    assert board.refresh().written == 0
    write(store, result(study, 7))
    assert board.refresh().written == 1
    assert runs(board.folder / study.id) == [0, 1, 2, 7]
    after = contents(board.folder)
    assert {name: after[name] for name in before} == before

    # As after a restart.
    board.close()
    again = Board(store, board.folder)
    assert (again.refresh().written, contents(board.folder)) == (0, after)
    again.close()


def test_a_trial_that_was_retried_gets_another_run(store: Store, board: Board) -> None:
    study = submit_trees()
    write(store, result(study, 3, state="FAILED", error="no", mean_test_score=float("nan")), result(study, 4))
    board.refresh()
    study.retry_failed()
    board.refresh()
    assert runs(board.folder / study.id) == [4]
    write(store, result(study, 3))
    board.refresh()
    run = board.folder / study.id / "3"
    assert plugin_data(run, "session_end_info").session_end_info.status == api_pb2.STATUS_SUCCESS


def test_a_replaced_result_is_first_removed_and_then_written(store: Store, board: Board) -> None:
    study = submit_trees()
    write(store, result(study, 3, state="FAILED", error="no", mean_test_score=float("nan")))
    board.refresh()
    study.retry_failed()
    write(store, result(study, 3))
    found = board.refresh()
    # TensorBoard has to see that it is gone.
    assert (found.written, found.removed, runs(board.folder / study.id)) == (0, 1, [])
    assert board.refresh().written == 1
    assert board.refresh().written == 0


def test_a_study_that_is_deleted_takes_its_runs_with_it_and_nothing_else(store: Store, board: Board) -> None:
    study = submit_trees()
    write(store, result(study, 3))
    board.refresh()
    own = board.folder / study.id / "3" / "events.out.tfevents.1.mine"
    own.write_text("mine")
    other = board.folder / "my-model" / "events.out.tfevents.2.mine"
    other.parent.mkdir()
    other.write_text("mine")
    study.delete()
    found = board.refresh()
    assert (found.removed, found.studies) == (1, 0)
    assert sorted(board.folder.rglob("*.mine")) == sorted([own, other])
    again = submit_trees()
    assert again.id == study.id
    write(store, result(again, 5))
    for _ in range(2):
        board.refresh()
    assert runs(board.folder / study.id)[-1] == 5


def test_the_best_are_shown_where_there_are_many(store: Store, tmp_path: Path) -> None:
    study, left_out = submit_trees(), submit_trees(name="left out")
    write(
        store,
        *(result(study, number) for number in range(6)),
        result(study, 6, state="FAILED", mean_test_score=float("nan")),
    )
    write(store, result(left_out, 0))
    board = Board(store, tmp_path, [study.id], most_runs=3)
    found = board.refresh()
    assert (found.shown, found.ended, runs(tmp_path / study.id)) == (3, 7, [3, 4, 5])
    write(store, result(study, 8))
    board.refresh()
    assert runs(tmp_path / study.id) == [4, 5, 8]
    assert not (tmp_path / left_out.id).exists()
    board.close()


def test_estimators_of_a_grid_are_named_by_their_class(store: Store, board: Board) -> None:
    grid = {"estimator": [DecisionTreeClassifier(random_state=0)], "max_depth": [1, 2]}
    study = submit_trees(grid=grid)
    write(store, result(study, 0, {"estimator": "DecisionTreeClassifier(random_state=0)", "max_depth": 1}))
    board.refresh()
    assert parameters(board.folder / study.id / "0")["estimator"] == "DecisionTreeClassifier"
    [info] = [one for one in plugin_data(board.folder, "experiment").experiment.hparam_infos if one.name == "estimator"]
    assert list(info.domain_discrete) == ["DecisionTreeClassifier"]


def test_two_do_not_write_into_one_folder(store: Store, board: Board, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another `warren tensorboard` writes into .*pass another --logdir"):
        Board(store, board.folder)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't write into"):
        Board(store, tmp_path / "file")


def test_ids_and_numbers_of_others_name_no_folder(store: Store, board: Board, tmp_path: Path) -> None:
    """Who may write documents calls a study and trials by paths that lead out of the log folder."""
    study = submit_trees()
    definition = stored(store, study)
    write(store, result(study, 0), result(study, 1))
    for number, elsewhere in enumerate(("../../../escaped", "/tmp/escaped", "..", "A", "a/b", "a" * 201)):
        store._studies.insert_one(definition | {"_id": elsewhere, "created_at": now()})
        document = result(study, 2) | {"_id": f"{elsewhere}:0", "study_id": elsewhere, "number": 0}
        store.trials._collection.insert_one(document)
        named = result(study, 3) | {"_id": f"{study.id}:{number + 2}", "number": f"../../{number}"}
        store.trials._collection.insert_one(named)
    store._studies.update_one({"_id": study.id}, {"$inc": {"progress.complete": 6}})
    unfinished = {"study_id": study.id, "number": "../../x", "started_at": now(), "params": TWELVE[3]}
    unfinished |= {"epochs": {"0": {"epoch": [1], "loss": [0.5]}}, "estimator": "KerasModel"}
    store.unfinished._collection.insert_one(unfinished | {"_id": f"{study.id}:../../x"})
    board.refresh()
    assert [folder.name for folder in tmp_path.iterdir()] == ["logs"]
    folders = [folder for folder in board.folder.iterdir() if folder.is_dir()]
    assert [folder.name for folder in folders] == [study.id]
    assert {run.name for run in folders[0].iterdir()} == {"0", "1"}
    assert [one.id for one in store.studies(StudyKey, limit=1)] == [study.id]
    assert store.study("../../../escaped", StudyKey) is None
