"""docker-compose.yml as a project of a test's own: its own name, passwords, ports and volumes, all
gone at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

from polling import until

import producer
from producer.stack.ports import free_ports

ROOT = Path(producer.__file__).parents[1]
PORTS = ("AMQP_PORT", "MANAGEMENT_PORT", "MONGO_PORT", "NOTEBOOK_PORT", "DASHBOARD_PORT")
PASSWORDS = (
    *("RABBITMQ_PASSWORD", "MONGO_PASSWORD", "WARREN_KEY"),
    *(f"{name}_{server}_PASSWORD" for name in ("WORKER", "PRODUCER") for server in ("RABBITMQ", "MONGO")),
    "VIEWER_MONGO_PASSWORD",
)
# Seconds for a build with nothing in the cache: some 300 MB come from the package index.
BUILD_SECONDS = 1500.0
# Seconds for anything else that is asked of Compose: all of it starts in half a minute.
COMPOSE_SECONDS = 240.0


def docker(*words: str, seconds: float = COMPOSE_SECONDS, env: dict[str, str] | None = None) -> str:
    """Return what the Docker client prints; its errors are the test's."""
    if shutil.which("docker") is None:
        raise AssertionError("no docker command on the PATH: these tests need an engine with Compose v2")
    done = subprocess.run(["docker", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"docker {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Project:
    """One project of Compose.

    Parameters
    ----------
    folder : Path
        Takes the file of its settings.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"warren-test-{secrets.token_hex(4)}"
        self._env = folder / f"{self.name}.env"
        self.token = secrets.token_hex(24)
        self.passwords = {name: secrets.token_hex(24) for name in PASSWORDS}
        # Ports that were free a moment ago: Compose has to know them before anybody listens.
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        settings = {
            **{"RABBITMQ_USER": "warren", "MONGO_USER": "warren", "JUPYTER_TOKEN": self.token},
            **{f"{name.upper()}_USER": name for name in ("worker", "producer", "viewer")},
            **self.passwords,
            **{name: str(port) for name, port in self.ports.items()},
        }
        self._env.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        user = {name: f"producer:{self.passwords[f'PRODUCER_{name}_PASSWORD']}" for name in ("RABBITMQ", "MONGO")}
        self.key = self.passwords["WARREN_KEY"]
        self.amqp_url = f"amqp://{user['RABBITMQ']}@127.0.0.1:{self.ports['AMQP_PORT']}/%2F"
        self.mongo_url = f"mongodb://{user['MONGO']}@127.0.0.1:{self.ports['MONGO_PORT']}/tuning?authSource=admin"

    def _environment(self) -> dict[str, str]:
        """The environment without a shell's own settings, which go before those of the file."""
        hidden = ("COMPOSE_", "AMQP_", "MONGO_U", "MONGO_P", "RABBITMQ_U", "RABBITMQ_P", "WORKER_", "NOTEBOOK_")
        hidden += ("PRODUCER_", "VIEWER_", "WARREN_")
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}

    def compose(self, *words: str, seconds: float = COMPOSE_SECONDS) -> str:
        """Run ``docker compose`` on this project; return what it prints."""
        own = ("compose", "--project-name", self.name, "--env-file", str(self._env))
        return docker(*own, *words, seconds=seconds, env=self._environment())

    def shell(self, script: str, folder: Path) -> str:
        """Run commands of a document in a folder, with this project as the one that
        ``docker compose`` means."""
        own = {"COMPOSE_PROJECT_NAME": self.name, "COMPOSE_ENV_FILES": str(self._env)}
        env = self._environment() | own | {"COMPOSE_FILE": str(ROOT / "docker-compose.yml")}
        how = {"capture_output": True, "text": True, "timeout": COMPOSE_SECONDS}
        done = subprocess.run(["bash", "-ec", script], cwd=folder, env=env, **how)
        assert done.returncode == 0, f"{script}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers that run."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers."""
        return [found for one in self.containers(service) for found in json.loads(docker("inspect", one))]

    def await_healthy(self, service: str, count: int = 1) -> None:
        """Wait until that many containers of a service are healthy."""

        def is_so() -> bool:
            return [one["State"].get("Health", {}).get("Status") for one in self.inspect(service)] == [
                "healthy"
            ] * count

        until(is_so, COMPOSE_SECONDS, f"{count} healthy containers of {service}")

    def remove(self) -> None:
        """End it, with its volumes and networks."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes that carry its name."""
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.name}")
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [line for kind in kinds for line in docker(*kind, *mine).split()]
