"""What `make setup` asks of a machine that lacks something: all of it, once, before anything that
takes long."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "mktemp", "rm", "sed")
# A Python that can't do what its arguments say, as Debian's can't without packages of its own.
PYTHON = """#!/bin/sh
case $2 in
    {lacks}) exit 1 ;;
    *print*) echo python3.13-venv ;;
esac
exit 0
"""


class Machine:
    """A machine with nothing but a shell: what it lacks, and what it was asked to do."""

    def __init__(self, home: Path) -> None:
        self.bin = home / "bin"
        self.asked = home / "asked"
        self.script = home / "warren" / "scripts" / "setup.sh"
        self.script.parent.mkdir(parents=True)
        # This machine's own RabbitMQ is not that one's.
        self.script.write_text((ROOT / "scripts/setup.sh").read_text().replace(" /usr/", f" {home}/usr/"))
        for file in ("pyproject.toml", "requirements-dev.txt"):
            (home / "warren" / file).touch()
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.has("uname", "echo Linux")
        self.has("id", "echo 1000")
        self.has("apt-cache", "exit 0")
        self.has("apt-get", f'echo "$@" >> {self.asked}')

    def has(self, name: str, body: str) -> None:
        program = self.bin / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(body if body.startswith("#!") else f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    def set_up(self, *arguments: str) -> str:
        """Run it to where the virtual environment is made, or to where it stops; return
        what it said."""
        done = subprocess.run(
            ["sh", self.script, *arguments],
            env={"PATH": str(self.bin), "TMPDIR": str(self.bin.parent)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_all_that_is_missing_is_one_command_before_anything_is_made(machine: Machine) -> None:
    machine.has("python3", PYTHON.format(lacks="*ensurepip* | *libgomp*"))
    said = machine.set_up("--servers")
    assert said.endswith("; run: sudo apt-get install -y python3.13-venv libgomp1 rabbitmq-server\n")
    assert "making" not in said
    assert not machine.asked.exists(), "an ordinary user may not install"


def test_only_what_is_missing_is_asked_for(machine: Machine) -> None:
    machine.has("python3", PYTHON.format(lacks="*libgomp*"))
    machine.has("rabbitmq-server", "exit 0")
    assert machine.set_up("--servers").endswith("run: sudo apt-get install -y libgomp1\n")


def test_a_machine_without_python_is_asked_for_it_too(machine: Machine) -> None:
    machine.has("apt-cache", "exit 100")  # no lists of packages yet
    said = machine.set_up()
    packages = "python3 python3-venv libgomp1 rabbitmq-server"
    assert said.endswith(f"run: sudo apt-get update && sudo apt-get install -y {packages}\n")


# The second is not on a user's PATH.
@pytest.mark.parametrize("broker", ["rabbitmq-server", "../usr/lib/rabbitmq/bin/rabbitmq-server", "docker"])
def test_a_machine_that_has_all_is_asked_for_nothing(machine: Machine, broker: str) -> None:
    machine.has("python3", PYTHON.format(lacks="nothing"))
    machine.has(broker, "exit 0")
    said = machine.set_up("--servers")
    assert "missing" not in said
    assert "making .venv" in said


def test_a_missing_broker_stops_what_needs_one_and_is_told_to_others(machine: Machine) -> None:
    machine.has("python3", PYTHON.format(lacks="nothing"))
    said = machine.set_up()
    assert "run: sudo apt-get install -y rabbitmq-server\n" in said
    assert "making .venv" in said, "who checks style and types needs no broker"
    assert "making .venv" not in machine.set_up("--servers")


def test_root_gets_everything_in_one_installation(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("python3", PYTHON.format(lacks="*ensurepip* | *libgomp*"))
    said = machine.set_up("--servers")
    assert machine.asked.read_text().splitlines() == [
        "install -qq -y --no-install-recommends python3.13-venv libgomp1",
    ], "and RabbitMQ is left to the stack, which keeps its service down"
    assert "making .venv" in said


def test_a_machine_without_apt_is_told_the_names(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    machine.has("python3", PYTHON.format(lacks="*libgomp*"))
    machine.has("rabbitmq-server", "exit 0")
    said = machine.set_up()
    assert "libgomp.so.1, which LightGBM needs; install them as your system does" in said
    assert said.endswith("(Debian's packages: libgomp1)\n")


def test_make_looks_for_a_broker_where_one_is_needed() -> None:
    if (make := shutil.which("make")) is None:
        pytest.skip("no make on this machine")

    def runs(target: str) -> str:
        return subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, env=os.environ).stdout

    assert "scripts/setup.sh --servers" in runs("demo")
    assert "scripts/setup.sh --servers" in runs("test")
    assert "--servers" not in runs("lint")


@pytest.mark.parametrize("script", ["setup.sh", "debian13.sh", "env.sh"])
def test_a_script_of_ours_holds_what_shellcheck_asks(script: str) -> None:
    if (shellcheck := shutil.which("shellcheck")) is None:
        pytest.skip("no shellcheck here: Debian calls the package shellcheck")
    done = subprocess.run([shellcheck, str(ROOT / "scripts" / script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_only_root_makes_a_chroot_and_whoever_is_not_is_told(machine: Machine) -> None:
    env = {"PATH": str(machine.bin), "DEBIAN_ROOT": str(machine.bin.parent / "chroot")}
    command = [str(shutil.which("bash")), str(ROOT / "scripts/debian13.sh")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "debian13: only root can make a chroot: sudo make test-debian13\n")


def test_a_chroot_gets_its_packages_from_where_the_machine_does() -> None:
    assert "://" not in (ROOT / "scripts/debian13.sh").read_text()
