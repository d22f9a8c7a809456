"""What docker-compose.yml, worker/Dockerfile and .env.example promise each other, read
without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from producer.stack import docker

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "worker" / "Dockerfile").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
# ${NAME}, ${NAME:-default}, ${NAME:?message}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?])?([^${}]*)\}")


def variables(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, kind and default of what Compose puts into a text; a default may have
    variables in it."""
    while found := VARIABLE.search(text):
        yield found[1], found[2], found[3]
        text = text[: found.start()] + (found[3] if found[2] == ":-" else "") + text[found.end() :]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened_limited_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert any(where.startswith("/tmp:") for where in service["tmpfs"])
    assert not {"privileged", "cap_add", "pid", "ipc", "network_mode"} & set(service)
    assert service["restart"] == ("no" if name in {"demo", "users"} else "unless-stopped")
    assert "container_name" not in service, "--scale needs names of its own"


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_opened_on_this_machine_only(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in ports), ports
    assert bool(ports) == ("outside" in SERVICES[name]["networks"])


def test_workers_reach_broker_and_database_alone() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {str(SERVICES[name]["networks"]) for name in ("worker", "demo", "users")} == {"['inside']"}


def test_whoever_needs_a_server_waits_until_it_is_healthy() -> None:
    for name in set(SERVICES) - {"rabbitmq", "mongodb"}:
        needed = SERVICES[name]["depends_on"]
        assert {"rabbitmq", "mongodb"} <= set(needed)
        assert {needed[server]["condition"] for server in ("rabbitmq", "mongodb")} == {"service_healthy"}
        if name != "users":
            assert needed["users"]["condition"] == "service_completed_successfully"


def test_nothing_that_is_run_beside_the_workers_changes_their_number() -> None:
    """Compose brings what a service depends on to the number that the file says, whatever
    ``--scale`` has said."""
    assert not [name for name, service in SERVICES.items() if "worker" in service.get("depends_on", {})]
    documents = TEXT + (ROOT / "docs" / "docker.md").read_text()
    for profile, services in re.findall(r"docker compose --profile (\w+) up((?: -[-\w]+)*(?: \w+)?)", documents):
        assert services.split()[-1] == profile, "an `up` of everything has as many workers as .env says"


def test_servers_keep_their_data_in_named_volumes() -> None:
    assert SERVICES["rabbitmq"]["volumes"][0] == "rabbitmq:/var/lib/rabbitmq"
    assert SERVICES["rabbitmq"]["hostname"] == "rabbitmq", "its data carry the node's name"
    assert SERVICES["mongodb"]["volumes"] == ["mongodb:/data/db"]
    assert {"rabbitmq", "mongodb", "checkpoints", "notebooks"} == set(COMPOSE["volumes"])


def test_mongodb_starts_on_every_kernel() -> None:
    assert docker.MONGO_ENV.items() <= SERVICES["mongodb"]["environment"].items()


def test_workers_share_their_checkpoints() -> None:
    worker = SERVICES["worker"]
    where = worker["environment"]["WARREN_CHECKPOINTS"]
    assert worker["volumes"] == [f"checkpoints:{where}"]
    (made,) = re.findall(r"install -d -o warren -g warren (.*)$", DOCKERFILE, re.MULTILINE)
    assert where in made.split(), "or the volume is root's"


def test_a_worker_is_left_more_than_its_grace() -> None:
    worker = SERVICES["worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) >= 2 * worker["environment"]["WARREN_GRACE_SECONDS"]


def test_an_image_reaps_orphans_and_imports_nothing_from_its_folder() -> None:
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    assert re.search(r"apt-get install .* tini ", stages["base"])
    assert 'ENTRYPOINT ["tini", "--"]' in stages["runtime"]
    assert "PYTHONSAFEPATH=1" in stages["runtime"]
    assert "ENV PYTHONSAFEPATH=\n" in stages["notebook"], "a notebook imports what lies next to it"
    entries = {name for name, text in stages.items() if "ENTRYPOINT" in text}
    assert entries == {"runtime", "working"}
    assert re.search(r'HEALTHCHECK .*\\\n  CMD \["python3-unread"', stages["working"]), "its environment has passwords"
    assert re.search(
        r'ENTRYPOINT \["python", "-I", "-S", "/app/worker/process/entry.py", "tini", "--"\]', stages["working"]
    )
    assert not any("entrypoint" in service for service in SERVICES.values())


def test_no_password_has_a_default() -> None:
    for name, how, default in variables(TEXT):
        if name.endswith(("_USER", "_PASSWORD", "_KEY")):
            assert (how, default) == (":-", "") or how == ":?", name
    for line in (ROOT / ".env.example").read_text().splitlines():
        if re.match(r"[A-Z_]*(PASSWORD|TOKEN|KEY)=", line):
            assert line.endswith("="), line
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_example_names_every_variable_with_its_default() -> None:
    example = dict(re.findall(r"^#? ?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = {name: default if how == ":-" else None for name, how, default in variables(TEXT)}
    assert set(example) == set(used)
    for name, default in used.items():
        if default:
            assert example[name] == default, name


def test_the_script_puts_passwords_of_its_own_into_the_example(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/env.sh", ".env.example"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = ["sh", "scripts/env.sh"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = (tmp_path / ".env").read_text()
    found = dict(re.findall(r"^([A-Z_]+)=(.*)$", made, re.MULTILINE))
    made_up = [value for name, value in found.items() if name.endswith(("PASSWORD", "TOKEN", "KEY"))]
    assert len(set(made_up)) == len(made_up) == 9
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made_up)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0, "for its owner's eyes"
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / ".env").read_text() == made, "a second run would lock everybody out"


OLD_ENV = (
    "RABBITMQ_USER=warren\nRABBITMQ_PASSWORD=a1\nMONGO_USER=me\nMONGO_PASSWORD=b2\nJUPYTER_TOKEN=c3\n# AMQP_PORT=5\n"
)


def test_the_script_adds_users_and_no_key_to_an_older_file(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/env.sh", ".env.example"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".env").write_text(OLD_ENV)
    command = ["sh", "scripts/env.sh"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    made = (tmp_path / ".env").read_text()
    assert made.startswith(OLD_ENV)
    found = dict(re.findall(r"^([A-Z_]+)=(.*)$", made[len(OLD_ENV) :], re.MULTILINE))
    assert set(found) == {
        *("WORKER_USER", "WORKER_RABBITMQ_PASSWORD", "WORKER_MONGO_PASSWORD", "VIEWER_USER", "VIEWER_MONGO_PASSWORD"),
        *("PRODUCER_USER", "PRODUCER_RABBITMQ_PASSWORD", "PRODUCER_MONGO_PASSWORD"),
    }
    assert "no WARREN_KEY" in said
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert not [value for name, value in found.items() if name.endswith("PASSWORD") and value in said]


def filled(value: str, given: dict[str, str]) -> str:
    """Put variables into a text as Compose does."""
    while found := VARIABLE.search(value):
        name, how, default = found.groups()
        assert how != ":?" or given.get(name)
        value = value[: found.start()] + (given.get(name) or (default if how == ":-" else "")) + value[found.end() :]
    return value


def test_nobody_but_who_makes_users_knows_an_administrator() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    given = {name: value or f"of-{name}" for name, value in given.items()}
    administrators = {given["RABBITMQ_PASSWORD"], given["MONGO_PASSWORD"]}
    knows = {
        name: {
            secret for secret in given.values() if any(secret in filled(str(value), given) for value in env.values())
        }
        for name, env in ((name, service.get("environment", {})) for name, service in SERVICES.items())
    }
    assert {name for name, secrets in knows.items() if administrators & secrets} == {"rabbitmq", "mongodb", "users"}
    assert filled(SERVICES["worker"]["environment"]["AMQP_URL"], given).startswith("amqp://worker:of-WORKER_RABBITMQ")
    assert "://viewer:of-VIEWER_MONGO" in filled(SERVICES["dashboard"]["environment"]["MONGO_URL"], given)
    for name in ("notebook", "demo"):
        assert "mongodb://producer:of-PRODUCER_MONGO" in filled(SERVICES[name]["environment"]["MONGO_URL"], given)
    assert {name for name, secrets in knows.items() if given["WARREN_KEY"] in secrets} == {"worker", "notebook", "demo"}
    wanted = {
        f"{name.upper()}_{server}_PASSWORD" for name in ("worker", "producer") for server in ("RABBITMQ", "MONGO")
    }
    assert wanted | {"VIEWER_MONGO_PASSWORD"} < set(SERVICES["users"]["environment"])


def test_a_file_of_before_there_were_users_goes_on_with_what_it_has() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", OLD_ENV, re.MULTILINE))
    for name in ("worker", "notebook", "demo"):
        found = {key: filled(str(value), given) for key, value in SERVICES[name]["environment"].items()}
        assert found["AMQP_URL"] == "amqp://warren:a1@rabbitmq:5672/%2F"
        assert found["MONGO_URL"] == "mongodb://me:b2@mongodb:27017/tuning?authSource=admin"
        assert found["WARREN_KEY"] == ""


def test_images_carry_the_version_and_nothing_is_latest() -> None:
    images = {service["image"] for service in SERVICES.values()}
    servers = {"${RABBITMQ_IMAGE:-rabbitmq:4-management}", "${MONGO_IMAGE:-mongo:8}"}
    assert images == {f"warren-worker:{VERSION}", f"warren-notebook:{VERSION}", *servers}
    assert "latest" not in TEXT + DOCKERFILE
    assert f"warren-worker:{VERSION} " in DOCKERFILE


def test_the_image_runs_as_a_user_by_the_exec_form() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert stages[-1][1] == "worker", "what a plain build makes"
    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= {
        name for _, name in stages
    }
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"
    commands = re.findall(r"^(?:CMD|ENTRYPOINT) +(.*)$", DOCKERFILE, re.MULTILINE)
    assert commands
    assert all(command.startswith("[") for command in commands)


@pytest.mark.parametrize("name", ["worker", "tensorflow", "gpu"])
def test_an_image_has_the_versions_that_a_notebook_has(name: str) -> None:
    def pins(file: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for package, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE):
            found.setdefault(package, set()).add(version)
        return found

    theirs, notebook = pins(f"requirements-{name}.txt"), pins("requirements.txt")
    assert not {"matplotlib", "plotly", "jupyterlab"} & set(theirs)
    assert {"catboost", "lightgbm", "scikit-learn", "pika", "pymongo"} <= set(theirs)
    assert {package: theirs[package] for package in set(theirs) & set(notebook)} == {
        package: notebook[package] for package in set(theirs) & set(notebook)
    }


def test_one_argument_builds_every_image_on_another_python() -> None:
    before = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE[: DOCKERFILE.index("FROM ")], re.MULTILINE)
    assert before == [("PYTHON_VERSION", "3.11"), ("BASE_IMAGE", "python:${PYTHON_VERSION}-slim")]
    built = {name: service["build"]["args"]["BASE_IMAGE"] for name, service in SERVICES.items() if "build" in service}
    assert set(built.values()) == {"${PYTHON_IMAGE:-python:${PYTHON_VERSION:-3.11}-slim}"}
    assert "PYTHON_VERSION=3.11\n" in (ROOT / ".env.example").read_text()
    if (make := shutil.which("make")) is None:
        pytest.skip("no make on this machine")
    for target in ("images", "image-tensorflow"):
        command = [make, "-n", target, "PYTHON_VERSION=3.13"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert said.count("docker build ") == said.count("--build-arg PYTHON_VERSION=3.13") >= 1
