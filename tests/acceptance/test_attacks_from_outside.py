"""Attackers without a password: a page in the browser, another user of the machine, text that
drives the terminal."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
import pytest
from acceptance.conftest import StartWorker
from polling import until
from servers import private_stack
from sklearn.tree import DecisionTreeClassifier

import producer
from producer import submit
from producer.cli import main
from producer.stack import LocalStack
from producer.stack.ports import free_ports
from warren.settings import Settings

ROOT = Path(producer.__file__).parents[1]
STUCK_SECONDS = 60.0
X = [[float(number), float(number % 3)] for number in range(20)]
Y = [number % 2 for number in range(20)]
# The user `nobody`: owns nothing, and may read what all may.
NOBODY = 65534
# A title, the clipboard, a cleared screen by 8 bits, a line written over, text turned round, and a
# line of its own.
EVIL = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x9b2J\r\x08\u202e\u2028end\nwarren: all is well"


def asked(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


# ------------------------------------------------------------- a page in the browser


@contextmanager
def served(*command: str, folder: Path, port: int, path: str) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, stdout=output, stderr=output)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return asked(port, path)[0] == 200
        except OSError:
            return False

    try:
        until(answers, STUCK_SECONDS, f"{command} serves")
        yield
    finally:
        process.terminate()
        process.wait(STUCK_SECONDS)


def jupyter() -> list[str]:
    """Return what the notebook's image runs, as far as it says who may ask."""
    recipe = (ROOT / "worker" / "Dockerfile").read_text()
    (line,) = re.findall(r'^CMD (\["jupyter"(?:.|\\\n)*?\])$', recipe, re.MULTILINE)
    name, *arguments = json.loads(line.replace("\\\n", " "))
    assert name == "jupyter"
    ours = [one for one in arguments[1:] if not one.startswith(("--ip", "--port", "--ServerApp.root_dir"))]
    return ["jupyterlab", *ours, "--ip=0.0.0.0", "--allow-root", "--ServerApp.token=t"]


@pytest.mark.parametrize(
    "name",
    [
        "dashboard",
        "worker",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("dashboard for others", "tensorboard", "jupyterlab")),
    ],
)
def test_a_page_that_lets_its_name_lead_here_reads_nothing(servers: Settings, tmp_path: Path, name: str) -> None:
    (port,) = free_ports(1)
    os.environ.pop("WARREN_HTTP_PORT", None)
    commands = {
        "dashboard": (["producer", "dashboard", f"--port={port}"], "/api/studies"),
        "dashboard for others": (["producer", "dashboard", "--host=0.0.0.0", f"--port={port}"], "/api/studies"),
        "tensorboard": (["producer", "tensorboard", f"--port={port}"], "/data/environment"),
        "jupyterlab": ([*jupyter(), f"--port={port}"], "/api"),
        "worker": (["worker"], "/metrics"),
    }
    command, path = commands[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARREN_HTTP_PORT", str(port))
        patch.setenv("WARREN_HTTP_HOST", "0.0.0.0")
        with served(*command, folder=tmp_path, port=port, path=path):
            for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
                status, body = asked(port, path, Host=host)
                assert status == 403, host
                assert servers.mongo_url.encode() not in body
            if name != "jupyterlab":  # it asks for its token first
                assert asked(port, path, Origin="http://evil.example")[0] == 403
            assert asked(port, path, Host=f"localhost:{port}")[0] == 200
            assert asked(port, path, Host=f"[::1]:{port}")[0] == 200


# --------------------------------------------------------- another user of the machine

_LOOKS = """
import json, os, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
found = {{"read": [], "said": ""}}
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                found["read"].append([name, file.read(100).decode(errors="replace")])
        except OSError:
            pass
for number in filter(str.isdecimal, os.listdir("/proc")):
    for part in ("cmdline", "environ"):
        try:
            with open(f"/proc/{{number}}/{{part}}", "rb") as file:
                found["said"] += file.read().decode(errors="replace")
        except OSError:
            pass
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("kept") / "data"
    # As an earlier version left it, and in a folder that everybody may enter.
    for name in ("broker", "database", "logs"):
        (folder / name).mkdir(parents=True)
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    with private_stack(workers=1, data_dir=folder, signed=True) as up:
        yield up


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_of_the_machine_reads_neither_folder_nor_passwords(stack: LocalStack) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LOOKS.format(nobody=NOBODY), str(stack.data_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["read"] == []
    secrets = [str(urlsplit(url).password) for url in (stack.amqp_url, stack.mongo_url)]
    secrets.append(Path(str(stack.key)).read_text())
    assert "beam" in found["said"], "lists of processes are for all"
    assert not [secret for secret in secrets if secret in found["said"]]


@pytest.mark.slow
def test_a_stranger_gets_nothing_of_broker_and_database(stack: LocalStack) -> None:
    for url in (stack.amqp_url, stack.mongo_url):
        parts = urlsplit(url)
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=5):
            pass  # it is there, and everybody finds it
    where = urlsplit(stack.mongo_url)
    for user in ("", "warren:warren@", "admin:admin@"):
        url = where._replace(netloc=f"{user}{where.hostname}:{where.port}").geturl()
        if not user:
            url = url.partition("?")[0]
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=500) as client:
            for act in (
                lambda: client.tuning.studies.find_one(),
                lambda: client.tuning.studies.insert_one({"_id": "mine"}),
                lambda: client.list_database_names(),
                lambda: client.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
            ):
                with pytest.raises(pymongo.errors.PyMongoError, match="(?i)auth"):
                    act()


# ------------------------------------------------------- text that drives the terminal


def process(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=STUCK_SECONDS)
    return done.stdout + done.stderr


def steers(text: str) -> str:
    """Return what of a text is more than letters, lines and tabs."""
    plain = lambda one: one.isprintable() or one in "\n\t" or unicodedata.category(one) == "Zs"  # noqa: E731
    return "".join(sorted({one for one in text if not plain(one)}))


@pytest.mark.slow
def test_a_document_full_of_escape_sequences_is_text(
    servers: Settings, start_worker: StartWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    study = submit(DecisionTreeClassifier(), {"max_depth": [1, 2]}, X, Y, cv=2, name="plain")
    start_worker()
    study.wait(timeout=STUCK_SECONDS, progress=False)
    with pymongo.MongoClient(servers.mongo_url) as client:
        database = client.get_default_database()
        database.trials.update_one({"number": 0}, {"$set": {"estimator": EVIL, "worker": EVIL}})
        database.trials.update_one(
            {"number": 1}, {"$set": {"state": "FAILED", "error": EVIL, "output": EVIL, "worker": EVIL}}
        )
        database.studies.update_one(
            {"_id": study.id},
            {"$set": {"name": EVIL, "progress.failed": 1, "progress.complete": 1}},
        )
    script = (
        "import sys, producer\nfrom warren.errors import StudyError\n"
        f"study = producer.Study.attach({study.id!r})\n"
        "print(study); print(repr(study)); print(study.status())\n"
        "print(study.results().to_string())\n"
        "study.wait(progress=True)\n"
        "raise StudyError(sys.argv[1])\n"
    )
    outputs = {
        "a notebook in a terminal": process("-c", script, EVIL),
        "the command itself": process("-m", "producer", "results", study.id),
    }
    capfd.readouterr()
    for command in ("results", "results --json", "results --csv -", "watch", "watch --json"):
        name, *options = command.split()
        main([name, study.id, *options])
        outputs[command] = "".join(capfd.readouterr())
    for arguments in (["list"], ["list", "--json"], ["results", EVIL]):
        main(arguments)
        outputs[" ".join(arguments)] = "".join(capfd.readouterr())
    for command, text in outputs.items():
        assert text, command
        assert steers(text) == "", f"{command}: {text!r}"
        if not command.startswith(("a notebook", "results --csv")):  # both have lines of their own
            assert not [line for line in text.split("\n") if line.startswith("warren: all is")], command
    assert "\\x1b]0;owned\\x07" in outputs["the command itself"], "it is shown, as text"
