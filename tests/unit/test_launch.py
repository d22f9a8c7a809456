"""Programs of ours import nothing from the folder that they are started in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from warren.errors import InputError
from warren.launch import module_command, module_environment

ROOT = Path(__file__).resolve().parents[2]
# What people call their files; modules of the standard library, of libraries and of ours.
NAMES = (
    "random",
    "queue",
    "select",
    "json",
    "logging",
    "signal",
    "numpy",
    "pika",
    "tuning",
    "producer",
    "faulthandler",
)


# Starts a training process, which loads every library, and gives it a chunk that is none.
_TRAINS = """
from worker.process.protocol import EvaluateChunk
from worker.process.training_process import TrainingProcess
from worker.monitoring.metrics import Metrics
process = TrainingProcess("worker", None, Metrics())
process.begin(None, EvaluateChunk(body=b"{"))
print(process.receive(50))
process.kill()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose modules end the process that imports them."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(99)\n")
    return tmp_path


def ended(command: list[str], folder: Path, **environment: str) -> tuple[int, str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(command, cwd=folder, env=own | environment, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def test_python_m_worker_takes_nothing_from_the_working_folder(folder: Path) -> None:
    code, said = ended([sys.executable, "-m", "worker"], folder, AMQP_URL="amqp://bob:hunter2/x@host")
    assert code == 2, said
    assert "can't be read" in said


def test_python_m_producer_takes_nothing_from_the_working_folder(folder: Path) -> None:
    (folder / "producer.py").unlink()  # with that there, `python -m producer` is that
    code, said = ended([sys.executable, "-m", "producer", "--version"], folder)
    assert (code, said.split()[0]) == (0, "warren"), said


@pytest.mark.slow
def test_started_processes_import_nothing_from_the_working_folder(folder: Path) -> None:
    (folder / "worker.py").write_text("import os\nos._exit(99)\n")
    pools = folder / "elsewhere"
    pools.mkdir()
    (pools / "pools.py").write_text(
        "import joblib, multiprocessing, os, time\n"
        "if __name__ == '__main__':\n"
        "    assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in (-1, -2)) == [1, 2]\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(abs, [-1]))\n"
    )
    environment = module_environment({**os.environ, "PYTHONPATH": f":{pools}:"})
    code, said = ended(module_command("pools"), folder, **environment)
    assert (code, said) == (0, "[1]\n"), said
    code, said = ended(module_command("worker"), folder, **(environment | {"AMQP_URL": "amqp://bob:hunter2/x@host"}))
    assert code == 2, said


def test_a_clone_that_is_not_installed_finds_itself(tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    copy.mkdir()
    for name in ("warren", "producer", "worker"):
        (copy / name).symlink_to(ROOT / name)
    code, said = ended([sys.executable, "-m", "worker"], copy, AMQP_URL="amqp://bob:hunter2/x@host")
    assert code == 2, said


@pytest.mark.parametrize(
    "closed", [*(pytest.param(one, marks=pytest.mark.slow) for one in (">&-", "2>&-")), "<&- >&- 2>&-"]
)
@pytest.mark.parametrize(
    ("arguments", "code"), [("-m producer --version", 0), ("-m producer worker", 2), ("-m worker", 2)]
)
def test_a_standard_stream_that_is_closed_is_no_matter(arguments: str, code: int, closed: str, tmp_path: Path) -> None:
    command = ["sh", "-c", f'exec "$0" {arguments} {closed}', sys.executable]
    ended_with, said = ended(command, tmp_path, AMQP_URL="amqp://bob:hunter2/x@host")
    assert ended_with == code, said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_worker_starts_without_a_home_for_a_user_without_a_name(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    # May read everything, for this interpreter may lie in somebody's home.
    rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    command = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *rights, "env", "-u", "HOME"]
    if os.getuid() != 0 or shutil.which("setpriv") is None or subprocess.run([*command, "true"]).returncode:
        pytest.skip("only root becomes another user")
    command = [*command, sys.executable, "-c", _TRAINS]
    code, said = ended(command, tmp_path, TMPDIR=str(tmp_path), PYTHONPATH=str(ROOT))
    assert code == 0, said
    assert "ChunkRefused(reason=" in said
    assert "Invalid JSON" in said


@pytest.mark.slow
def test_scripts_may_have_any_file_of_these_names_next_to_them(tmp_path: Path) -> None:
    for name in ("tuning", "networks", "models", "search", "worker", "storage", "safety", "libraries"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')\n")
    script = tmp_path / "script.py"
    script.write_text("import warren\nprint([getattr(warren, name).__name__ for name in warren.__all__])\n")
    code, said = ended([sys.executable, str(script)], tmp_path)
    assert code == 0, said
    assert "'local_stack'" in said


@pytest.mark.parametrize("name", ["producer.py", "producer/__init__.py"])
def test_a_file_that_hides_the_producer_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    script = tmp_path / "script.py"
    script.write_text("from warren import submit\n")
    code, said = ended([sys.executable, str(script)], tmp_path)
    assert code == 1
    assert f"ImportError: {tmp_path / name} hides Warren's package 'producer': rename it" in said


@pytest.mark.parametrize("name", ["worker", "producer"])
def test_a_file_in_the_python_path_that_hides_ours_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("")
    with pytest.raises(InputError, match=rf"{name}\.py hides Warren's package '{name}': rename it"):
        module_environment({"PYTHONPATH": str(tmp_path)})
