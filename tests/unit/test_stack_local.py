"""The stack as a whole, without servers: what is checked, set, restored, locked and left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from polling import until

import producer
import producer.stack
from producer.stack import LocalStack, local_stack, stack, workers
from producer.stack.process import Guarded
from producer.stack.providers import Server, Site
from warren.errors import InputError, StackError
from warren.host import available_threads
from warren.settings import load_settings

ROOT = Path(producer.__file__).parents[1]
BEFORE = {"AMQP_URL": "amqp://before", "MONGO_URL": "mongodb://before"}
PRIVATE = {"AMQP_URL": "amqp://private", "MONGO_URL": "mongodb://private"}


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Guarded]]:
    """Processes that only sleep stand in for the servers."""
    processes: list[Guarded] = []

    def start(name: str, url: str):
        def start_it(site: Site, environ: Mapping[str, str]) -> Server:
            guarded = Guarded(["sleep", "600"], log=site.logs / f"{name}.log", grace=site.grace, hold=site.hold)
            processes.append(guarded)
            return Server(url=url, how=name, guarded=guarded)

        return start_it

    monkeypatch.setattr(stack, "start_broker", start("broker", "amqp://private"))
    monkeypatch.setattr(stack, "start_database", start("database", "mongodb://private"))
    for name, url in BEFORE.items():
        monkeypatch.setenv(name, url)
    yield processes
    for process in processes:
        process.stop()


def named() -> dict[str, str]:
    return {name: os.environ[name] for name in BEFORE if name in os.environ}


def running(processes: list[Guarded]) -> list[bool]:
    return [process.running for process in processes]


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "2", None])
def test_a_number_of_workers_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match=rf"workers={wrong!r}: give a whole number, 0 \(servers only\) or more"):
        local_stack(workers=wrong)  # type: ignore[arg-type]  # what it refuses


def test_the_package_exports_what_users_need() -> None:
    assert producer.stack.__all__ == ["LocalStack", "local_stack"]
    assert producer.local_stack is local_stack


def test_the_environment_is_set_inside_and_restored_after(no_servers: list[Guarded]) -> None:
    with local_stack(workers=0) as up:
        assert named() == {"AMQP_URL": up.amqp_url, "MONGO_URL": up.mongo_url} == PRIVATE
        assert running(no_servers) == [True, True]
    assert named() == BEFORE
    assert running(no_servers) == [False, False]


def test_an_exception_inside_takes_everything_down_and_goes_on(no_servers: list[Guarded]) -> None:
    with pytest.raises(ZeroDivisionError), local_stack(workers=0):
        _ = 1 / 0
    assert named() == BEFORE
    assert running(no_servers) == [False, False]


def test_a_temporary_folder_goes_with_the_stack_and_a_named_one_stays(
    no_servers: list[Guarded], tmp_path: Path
) -> None:
    with local_stack(workers=0) as up:
        temporary = up.data_dir
        assert temporary.stat().st_mode & 0o077 == 0
        assert (up.logs / "broker.log").exists()
    assert not temporary.exists()
    with local_stack(workers=0, data_dir=tmp_path / "new" / "kept") as up:
        assert up.data_dir == tmp_path / "new" / "kept"
    assert (tmp_path / "new" / "kept" / "logs" / "database.log").exists()


def test_a_folder_serves_one_stack_at_a_time(no_servers: list[Guarded], tmp_path: Path) -> None:
    with local_stack(workers=0, data_dir=tmp_path):
        with (
            pytest.raises(StackError, match=rf"data_dir='{tmp_path}': another stack uses this folder. Stop that one"),
            local_stack(workers=0, data_dir=tmp_path),
        ):
            pass
        assert running(no_servers) == [True, True]
    with local_stack(workers=0, data_dir=str(tmp_path)):
        assert running(no_servers) == [False, False, True, True]


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"data_dir='.*/file/below': .*Pass a folder that you may write"):
        local_stack(data_dir=tmp_path / "file" / "below").start()


def test_servers_that_a_killed_stack_left_are_waited_for(
    no_servers: list[Guarded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Guarded(["sleep", "600"], log=tmp_path / "log", grace=0.0, hold=tmp_path / "servers.lock")
    monkeypatch.setattr("producer.stack.data_dir.EARLIER_SECONDS", 0.1)
    with pytest.raises(StackError, match="servers of an earlier stack still use this folder"):
        local_stack(workers=0, data_dir=tmp_path).start()
    monkeypatch.setattr("producer.stack.data_dir.EARLIER_SECONDS", 30.0)
    earlier.release()
    with local_stack(workers=0, data_dir=tmp_path):
        assert not earlier.running
    earlier.stop()


def test_both_servers_missing_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(what: str):
        def start(site: Site, environ: Mapping[str, str]) -> Server:
            raise StackError(f"no {what} on this machine")

        return start

    monkeypatch.setattr(stack, "start_broker", no("RabbitMQ"))
    monkeypatch.setattr(stack, "start_database", no("MongoDB"))
    with pytest.raises(StackError) as caught:
        local_stack(workers=0).start()
    assert str(caught.value) == "no RabbitMQ on this machine\nno MongoDB on this machine"


def test_one_server_missing_takes_the_other_down(
    no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_broker(site: Site, environ: Mapping[str, str]) -> Server:
        raise StackError("no RabbitMQ on this machine")

    monkeypatch.setattr(stack, "start_broker", no_broker)
    with pytest.raises(StackError, match="no RabbitMQ on this machine"):
        local_stack(workers=0, data_dir=tmp_path).start()
    assert running(no_servers) == [False]
    assert named() == BEFORE


def test_a_file_of_another_user_s_is_named(no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    def not_mine(site: Site, environ: Mapping[str, str]) -> Server:
        raise PermissionError(13, "Permission denied", str(site.folder / "password"))

    monkeypatch.setattr(stack, "start_broker", not_mine)
    with pytest.raises(StackError, match=r"Permission denied: '.*/password': does another user own files in .*\? Pass"):
        local_stack(workers=0).start()
    assert running(no_servers) == [False]


def test_a_home_that_nobody_knows_is_told(no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match=r"data_dir='~nobody-of-that-name/x': this home folder is not known. Pass the"):
        local_stack(workers=0, data_dir="~nobody-of-that-name/x").start()


def test_an_unforeseen_error_is_not_dressed_up(no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(site: Site, environ: Mapping[str, str]) -> Server:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(stack, "start_broker", broken)
    with pytest.raises(KeyError, match="a fault of ours"):
        local_stack(workers=0).start()
    assert running(no_servers) == [False]


def test_ctrl_c_while_starting_takes_down_what_is_up(
    no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(site: Site, environ: Mapping[str, str]) -> Server:
        signal.raise_signal(signal.SIGINT)
        assert site.cancelled.wait(30.0), "the start is given up"
        raise StackError("start-up was interrupted")

    monkeypatch.setattr(stack, "start_broker", slow)
    with pytest.raises(KeyboardInterrupt):
        local_stack(workers=0).start()
    assert True not in running(no_servers)


def test_a_stack_that_is_not_up_says_so(no_servers: list[Guarded]) -> None:
    idle = local_stack(workers=0)
    for name in ("amqp_url", "mongo_url", "data_dir", "logs"):
        with pytest.raises(StackError, match="does not run: use it inside"):
            getattr(idle, name)
    with pytest.raises(StackError, match="does not run"):
        idle.start_worker()
    idle.stop()


def test_start_and_stop_serve_where_with_does_not_fit(no_servers: list[Guarded]) -> None:
    up = LocalStack(0).start()
    with pytest.raises(StackError, match="already runs"):
        up.start()
    up.stop()
    up.stop()
    assert running(no_servers) == [False, False]
    with up:
        assert up.amqp_url == "amqp://private"


def test_what_is_done_is_told(no_servers: list[Guarded]) -> None:
    lines: list[str] = []
    with local_stack(workers=0, log=lines.append):
        pass
    assert sorted(line.partition(": up after ")[0] for line in lines) == ["broker", "database"]


def test_a_worker_that_ends_by_itself_is_told(no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(stack, "WATCH_SECONDS", 0.05)
    with local_stack(workers=2, log=lines.append) as up:
        first, second = up.workers
        # No server answers at the URLs, so only the processes tell whether they still
        # run: end both.
        os.kill(first.pid, signal.SIGKILL)
        up.stop_worker(second)
        until(lambda: any(first.name in line for line in lines), what="its end is told")
        assert up.workers == [first]
        assert first.exit_code == 128 + signal.SIGKILL
    assert any(f"Worker {first.name} ended with exit code 137; its log is {first.log}" in line for line in lines)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode)[-3:] for path in [folder, *folder.iterdir()]}


def test_a_folder_is_its_owners_alone_also_one_that_was_open(no_servers: list[Guarded], tmp_path: Path) -> None:
    old = tmp_path / "old"
    for name in ("broker", "database", "logs"):
        (old / name).mkdir(parents=True, mode=0o755)
    (old / "stack.lock").touch()
    new = tmp_path / "more" / "new"
    for folder in (old, new):
        with local_stack(workers=0, data_dir=folder):
            found = modes(folder)
            assert found[folder.name] == found["broker"] == found["database"] == found["logs"] == "700"
            assert {mode for name, mode in found.items() if name.endswith((".lock", "key"))} <= {"600", "644"}
            assert found.get("key", "600") == "600"


def test_a_folder_that_is_a_project_too_stays_as_open_as_it_was(no_servers: list[Guarded], tmp_path: Path) -> None:
    (tmp_path / "notebook.ipynb").touch()
    tmp_path.chmod(0o755)
    with local_stack(workers=0, data_dir=tmp_path):
        found = modes(tmp_path)
    assert found[tmp_path.name] == "755"
    assert found["broker"] == found["database"] == found["logs"] == "700"


def test_a_folder_has_a_key_that_lasts_and_the_environment_names_it(
    no_servers: list[Guarded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for before in (None, ""):
        monkeypatch.delenv("WARREN_KEY", raising=False)
        if before is not None:
            monkeypatch.setenv("WARREN_KEY", before)
        with local_stack(workers=0, data_dir=tmp_path) as up:
            assert os.environ["WARREN_KEY"] == up.key == str(tmp_path / "key")
            keys = load_settings().key
            assert keys == ((tmp_path / "key").read_text(),)
            with local_stack(workers=0) as other:
                assert load_settings().key != keys
                assert other.key == str(other.data_dir / "key")
            assert load_settings().key == keys
        assert os.environ.get("WARREN_KEY") == before
    mine = "0123456789" * 4
    monkeypatch.setenv("WARREN_KEY", mine)
    with local_stack(workers=0) as up:
        assert os.environ["WARREN_KEY"] == up.key == mine
        assert not (up.data_dir / "key").exists()
    assert os.environ["WARREN_KEY"] == mine


def test_studies_from_before_there_were_keys_go_on_without(no_servers: list[Guarded], tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "kept-by").write_text("mongod")
    lines: list[str] = []
    with local_stack(workers=0, data_dir=tmp_path, log=lines.append) as up:
        assert up.key is None
        assert "WARREN_KEY" not in os.environ
    assert any("not signed" in line for line in lines)


def test_servers_of_others_keep_their_key(no_servers: list[Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "start_broker", lambda *_: Server(url="amqp://theirs", how="theirs"))
    with local_stack(workers=0) as up:
        assert up.key is None
        assert "WARREN_KEY" not in os.environ
    monkeypatch.setenv("WARREN_KEY", "k" * 32)
    with local_stack(workers=0) as up:
        assert up.key == "k" * 32


def test_each_worker_gets_its_share_of_the_cores_and_a_name() -> None:
    urls = {"AMQP_URL": "amqp://a", "MONGO_URL": "mongodb://b"}
    one = workers.worker_environment(0, 1, urls, {"AMQP_URL": "amqp://other", "HOME": "/home/me"})
    assert one["WARREN_THREADS"] == str(available_threads())
    assert (one["AMQP_URL"], one["MONGO_URL"], one["HOME"]) == ("amqp://a", "mongodb://b", "/home/me")
    many = workers.worker_environment(3, 1000, urls, {})
    assert many["WARREN_THREADS"] == "1"
    assert many["WARREN_WORKER_NAME"] == f"{workers.socket.gethostname()}-3"
    told = workers.worker_environment(0, 2, urls, {"WARREN_THREADS": "7", "WARREN_GRACE_SECONDS": "60"})
    assert (told["WARREN_THREADS"], told["WARREN_GRACE_SECONDS"]) == ("7", "60")


def test_workers_find_the_user_s_modules_only_where_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("worker", "random", "tuning"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "mine.py").write_text("")
    own = {name: value for name, value in os.environ.items() if name != "WARREN_PATH"} | {"PYTHONPATH": ":/elsewhere"}
    script = (
        "import random, sys, worker, importlib.util\n"
        "from warren.settings import load_settings\nload_settings()\n"
        "print(worker.__file__, '/elsewhere' in sys.path, importlib.util.find_spec('mine') is not None)"
    )
    for told, found in ((own, False), (own | {"WARREN_PATH": "nowhere:."}, True)):
        environment = workers.worker_environment(0, 1, {}, told)
        said = subprocess.run([sys.executable, "-c", script], env=environment, cwd="/", capture_output=True, check=True)
        assert said.stdout.decode().split() == [str(ROOT / "worker" / "__init__.py"), "True", str(found)]


@pytest.mark.slow
def test_a_killed_process_leaves_no_temporary_folder(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom producer.stack.data_dir import Folder\n"
        "folder = Folder(None)\nprint(folder.path, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        assert folder.parent == tmp_path
        assert folder.exists()
        (janitor,) = psutil.Process(process.pid).children()
        process.kill()
    janitor.wait(30.0)
    assert not folder.exists()
