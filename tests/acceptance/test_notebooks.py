"""The notebooks run from top to bottom, small; and git has them without outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warren.settings import Settings

# nbformat takes more than a second to import, and every process of `pytest -n` collects this file.
if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Seconds that a cell may take, on a machine that does other things too.
CELL_SECONDS = 150

# What takes the place of a notebook's parameters.
SMALL = {
    "01_quickstart": "WORKERS, FOLDS, DEPTHS, LEARNING_RATES, ROUNDS = 1, 3, [2, 3], [0.1, 0.3], [10, 20]",
    "03_pipelines": "WORKERS, ROWS, FOLDS, DEPTHS, ROUNDS = 1, 400, 3, [2, 3], [10, 20]",
    "02_many_cores": (
        "AMQP_URL = MONGO_URL = ''\n"  # the servers that the environment names, and workers of its own
        "SAMPLES = 600\n"
        "LEARNING_RATES, DEPTHS, SUBSAMPLES, ROUNDS = [0.05, 0.1], [3, 4, 5], [0.8, 1.0], [100]"
    ),
}

EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    import nbformat

    return nbformat.read(path, as_version=4)  # type: ignore[no-any-return, no-untyped-call]  # no types


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """Run a notebook in a folder of its own, small; return it with its outputs."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    notebook = read(path)
    if path.stem in SMALL:
        place = [number for number, cell in enumerate(notebook.cells) if is_parameters(cell)]
        notebook.cells.insert(place[0] + 1, new_code_cell(SMALL[path.stem]))  # type: ignore[no-untyped-call]  # no types
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WARREN_THREADS", "1")
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def is_parameters(cell: NotebookNode) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def cell_of(notebook: NotebookNode, cell_id: str) -> NotebookNode:
    [found] = [cell for cell in notebook.cells if cell.get("id") == cell_id]
    return found


def shown(notebook: NotebookNode, cell_id: str, kind: str = "text/html") -> str:
    """Return what a cell shows, of one kind."""
    outputs = cell_of(notebook, cell_id).outputs
    found: list[Any] = [output.data.get(kind, "") for output in outputs if "data" in output]
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in found)


def test_there_are_notebooks() -> None:
    assert {"01_quickstart", "02_many_cores"} <= {path.stem for path in NOTEBOOKS}


def test_there_is_nothing_that_nbstripout_would_take_away() -> None:
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", *map(str, NOTEBOOKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"nbstripout takes outputs away: {done.stdout}"


@EVERY
def test_a_notebook_has_no_outputs_and_nothing_of_who_ran_it(path: Path) -> None:
    notebook = read(path)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, cell.id
        if cell.cell_type == "code":
            assert (cell.execution_count, cell.outputs) == (None, []), cell.id


@EVERY
def test_a_notebook_tells_a_story_in_short_cells(path: Path) -> None:
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    assert sum(map(is_parameters, cells)) == 1
    assert is_parameters(next(cell for cell in cells if cell.cell_type == "code")), "parameters come first"
    assert max(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code") <= 30


@pytest.mark.slow
@pytest.mark.timeout(800)
@EVERY
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = run(path, tmp_path, monkeypatch)
    if path.stem == "01_quickstart":
        assert "w-complete" in shown(notebook, "live"), "the live card came to its end by itself"
        assert "<svg" in shown(notebook, "live")
        for picture in ("history", "scores", "importance", "parallel", "timeline"):
            assert shown(notebook, picture, "application/vnd.plotly.v1+json"), picture
    if path.stem == "02_many_cores":
        assert "killed" in "".join(output.get("text", "") for output in cell_of(notebook, "kill").outputs)
