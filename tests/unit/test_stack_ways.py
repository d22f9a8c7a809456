"""Which broker and database a local stack takes, and what it says when there is none."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from producer.stack import apt, broker, database, docker
from producer.stack.providers import Server, Site, Way, first_that_serves
from warren.errors import BrokerError, StackError, StoreError


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "logs").mkdir()
    return Site(folder=tmp_path, temporary=True, log=[].append)


def fails(why: str, tried: list[str] | None = None):
    def start(site: Site) -> Server:
        if tried is not None:
            tried.append(why)
        raise StackError(why)

    return start


def serves(name: str):
    def start(site: Site) -> Server:
        return Server(url=f"amqp://{name}", how=name)

    return start


def answers(url: str, timeout: float) -> None:
    """Stand in for a ping that is answered."""


def program(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def names_of(
    monkeypatch: pytest.MonkeyPatch, module: object, start: Callable[[Site, Mapping[str, str]], Server], site: Site
) -> tuple[list[str], str]:
    """Names of the ways that a module tries, in order, and its remedy."""
    caught: list[Any] = []
    monkeypatch.setattr(module, "first_that_serves", lambda *given: caught.extend(given) or serves("x")(site))
    start(site, {})
    _, _, ways, _, remedy = caught
    return [way.name for way in ways], str(remedy)


def test_the_broker_comes_from_this_machine_then_docker_then_apt(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    names, remedy = names_of(monkeypatch, broker, broker.start_broker, site)
    assert names == ["rabbitmq-server", "Docker", "apt-get"]
    for way_out in ("AMQP_URL", "apt-get install rabbitmq-server", "start Docker"):
        assert way_out in remedy


def test_the_database_comes_from_this_machine_then_docker_then_pip(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    names, remedy = names_of(monkeypatch, database, database.start_database, site)
    assert names == ["mongod", "Docker", "SecantusDB"]
    for way_out in ("MONGO_URL", "mongod", "start Docker", "pip install secantusdb"):
        assert way_out in remedy


def test_the_first_way_that_works_is_taken(site: Site) -> None:
    tried: list[str] = []
    ways = [
        Way(name="one", keeps="one", start=fails("no one", tried)),
        Way(name="two", keeps="two", start=serves("two")),
        Way(name="three", keeps="three", start=fails("no three", tried)),
    ]
    assert first_that_serves("RabbitMQ", site.folder / "broker", ways, site, "Help.").how == "two"
    assert tried == ["no one"]


def test_one_error_lists_each_way_and_why_it_failed(site: Site) -> None:
    ways = [
        Way(name="rabbitmq-server", keeps="a", start=fails("not on this machine")),
        Way(name="Docker", keeps="b", start=fails("it ended; the end of its log:\nno space left")),
    ]
    with pytest.raises(StackError) as caught:
        first_that_serves("RabbitMQ", site.folder / "broker", ways, site, "Set AMQP_URL.")
    assert str(caught.value) == (
        "can't start RabbitMQ. Tried in this order:\n"
        "  - rabbitmq-server: not on this machine\n"
        "  - Docker: it ended; the end of its log:\n"
        "      no space left\n"
        "Set AMQP_URL."
    )


def test_a_folder_stays_with_the_kind_of_server_that_wrote_it(site: Site) -> None:
    home = site.folder / "database"
    kept = Way(name="SecantusDB", keeps="secantusdb", start=serves("secantusdb"))
    first_that_serves("MongoDB", home, [kept], site, "Help.")
    newer = Way(name="mongod", keeps="mongod", start=serves("mongod"))
    assert first_that_serves("MongoDB", home, [newer, kept], site, "Help.").how == "secantusdb"
    with pytest.raises(StackError, match=r"mongod: not tried, .*/database holds data of secantusdb; another data_dir"):
        first_that_serves("MongoDB", home, [newer], site, "Help.")


def test_a_way_that_failed_does_not_claim_the_folder(site: Site) -> None:
    home = site.folder / "database"
    ways = [Way(name="mongod", keeps="mongod", start=fails("no")), Way(name="two", keeps="two", start=serves("two"))]
    first_that_serves("MongoDB", home, ways, site, "Help.")
    assert (home / "kept-by").read_text() == "two\n"


def test_an_interrupted_start_tries_no_further_way(site: Site) -> None:
    site.cancelled.set()
    tried: list[str] = []
    ways = [Way(name=name, keeps=name, start=fails(name, tried)) for name in ("one", "two")]
    with pytest.raises(StackError):
        first_that_serves("RabbitMQ", site.folder / "broker", ways, site, "Help.")
    assert tried == ["one"]


def test_urls_of_the_environment_are_used_as_they_are(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(broker, "ping", answers)
    monkeypatch.setattr(database, "ping", answers)
    served = broker.start_broker(site, {"AMQP_URL": "amqp://rabbit.example/tuning"})
    assert (served.url, served.guarded) == ("amqp://rabbit.example/tuning", None)
    served = database.start_database(site, {"MONGO_URL": "mongodb://db.example/mine"})
    assert (served.url, served.guarded) == ("mongodb://db.example/mine", None)


def test_urls_of_the_environment_that_do_not_answer_are_an_error(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    def no_broker(url: str, timeout: float) -> None:
        raise BrokerError("RabbitMQ at amqp://rabbit.example can't be reached")

    def no_store(url: str, timeout: float) -> None:
        raise StoreError("MongoDB at mongodb://db.example can't be reached")

    monkeypatch.setattr(broker, "ping", no_broker)
    monkeypatch.setattr(database, "ping", no_store)
    with pytest.raises(
        StackError, match=r"AMQP_URL is set: RabbitMQ at .*can't be reached. Unset it and MONGO_URL to have private"
    ):
        broker.start_broker(site, {"AMQP_URL": "amqp://u:secret@rabbit.example"})
    with pytest.raises(
        StackError, match=r"MONGO_URL is set: MongoDB at .*can't be reached. Unset it and AMQP_URL to have private"
    ):
        database.start_database(site, {"MONGO_URL": "mongodb://db.example"})


def test_urls_of_the_environment_that_can_not_be_read_are_an_error(site: Site) -> None:
    with pytest.raises(StackError, match="AMQP_URL is set: .*it stands in quotes"):
        broker.start_broker(site, {"AMQP_URL": '"amqp://u:secret@rabbit.example"'})
    with pytest.raises(StackError, match="MONGO_URL is set: .*it stands in quotes"):
        database.start_database(site, {"MONGO_URL": '"mongodb://db.example/tuning"'})


def test_the_packages_wrapper_is_not_taken_for_the_start_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbin = tmp_path / "sbin"
    wrapper = program(sbin, "rabbitmq-server", '#!/bin/sh\nsu rabbitmq -s /bin/sh -c "$0"\n')
    real = program(tmp_path / "lib", "rabbitmq-server")
    monkeypatch.setenv("PATH", str(sbin))
    assert broker.find_server([str(tmp_path / "none"), str(real)]) == real
    with pytest.raises(StackError, match="not on this machine"):
        broker.find_server([])
    wrapper.unlink()
    wrapper.symlink_to(program(tmp_path / "lib", "rabbitmq-script-wrapper"))
    assert broker.find_server([str(real)]) == real
    wrapper.unlink()
    own = program(sbin, "rabbitmq-server")
    assert broker.find_server([str(real)]) == own


def test_a_private_node_ignores_the_system_s_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_CONFIG_FILES", "/etc/rabbitmq/conf.d")
    monkeypatch.setenv("ERL_FLAGS", "-name other")
    environment = broker.node_environment(tmp_path, (1, 2, 3))
    assert "RABBITMQ_CONFIG_FILES" not in environment
    assert "ERL_FLAGS" not in environment
    assert environment["RABBITMQ_NODE_IP_ADDRESS"] == environment["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert (environment["RABBITMQ_NODE_PORT"], environment["ERL_EPMD_PORT"]) == ("1", "3")
    assert environment["HOME"] == str(tmp_path)


@pytest.mark.parametrize("character", list("'\\*?[]{}"))
def test_a_folder_that_rabbitmq_would_misread_goes_by_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    home = tmp_path / f"a{character}b"
    monkeypatch.setattr(broker, "_HERE", tmp_path)
    assert broker.node_environment(home, (1, 2, 3))["RABBITMQ_MNESIA_BASE"] == str(tmp_path / "mnesia")
    monkeypatch.setattr(broker, "_HERE", tmp_path / "not on Linux")
    with pytest.raises(StackError, match=f"a folder with {re.escape(character)} in its path"):
        broker.node_environment(home, (1, 2, 3))


def test_a_database_has_a_home_where_its_user_has_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """SecantusDB ends at once without one, as for a uid without a name and without HOME."""
    monkeypatch.delenv("HOME")
    homes: list[str] = []

    def guarded(*_: Any, env: Mapping[str, str], **__: Any) -> Any:
        homes.append(env["HOME"])
        raise StackError("far enough")

    monkeypatch.setattr(database, "Guarded", guarded)
    with pytest.raises(StackError, match="far enough"):
        database.secantus(site)
    assert homes == [str(site.folder / "database")]


def test_secantusdb_is_found_beside_the_interpreter_and_then_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(StackError, match="not installed; pip install secantusdb"):
        database.find_secantus()
    on_path = program(tmp_path / "path", "secantusd-py")
    assert database.find_secantus() == str(on_path)
    beside = program(tmp_path / "venv", "secantusd-py")
    assert database.find_secantus() == str(beside)


@pytest.fixture
def fake_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one folder; nothing is installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(broker, "PLACES", ())
    monkeypatch.setattr(broker.find_server, "__defaults__", ((),))
    monkeypatch.setattr(database, "MONGOD_PLACES", ())
    monkeypatch.setattr(database.sys, "executable", str(tmp_path / "python"))
    return tmp_path / "bin"


def test_a_bare_machine_is_told_all_that_was_tried(fake_machine: Path, site: Site) -> None:
    with pytest.raises(StackError) as caught:
        broker.start_broker(site, {})
    text = str(caught.value)
    assert "- rabbitmq-server: not on this machine" in text
    assert "- Docker: no docker command on the PATH" in text
    assert "- apt-get: no apt-get on this machine" in text
    with pytest.raises(StackError) as caught:
        database.start_database(site, {})
    text = str(caught.value)
    assert "- mongod: not on this machine" in text
    assert "- Docker: no docker command on the PATH" in text
    assert "- SecantusDB: not installed" in text


def test_an_ordinary_user_is_told_what_to_run(fake_machine: Path, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    program(fake_machine, "apt-get")
    monkeypatch.setattr(apt.os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match="only root may install; run: sudo apt-get install rabbitmq-server"):
        apt.install("rabbitmq-server", site)


def test_apt_fetches_its_lists_only_when_the_package_is_not_found(
    fake_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    calls, policy = tmp_path / "calls", tmp_path / "policy-rc.d"
    program(
        fake_machine,
        "apt-get",
        f"""#!/bin/sh
while [ "$1" = -qq ] || [ "$1" = -o ]; do [ "$1" = -o ] && shift; shift; done
echo "$@, services forbidden: $(/bin/sh {policy} > /dev/null; echo $?)" >> {calls}
if [ "$1" = update ]; then : > {tmp_path}/lists; fi
if [ ! -e {tmp_path}/lists ]; then echo 'E: Unable to locate package' >&2; exit 100; fi
""",
    )
    monkeypatch.setattr(apt.os, "geteuid", lambda: 0)
    forbidding = apt.services_stay_down
    monkeypatch.setattr(apt, "services_stay_down", lambda: forbidding(policy))
    apt.install("rabbitmq-server", site)
    assert calls.read_text().splitlines() == [
        "install -y --no-install-recommends rabbitmq-server, services forbidden: 101",
        "update, services forbidden: 101",
        "install -y --no-install-recommends rabbitmq-server, services forbidden: 101",
    ]
    assert not policy.exists()


def test_the_machine_s_own_policy_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with apt.services_stay_down(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_a_policy_that_a_killed_installation_left_is_removed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(apt.POLICY_TEXT)
    with apt.services_stay_down(policy):
        assert policy.exists()
    assert not policy.exists()


def test_mongodb_in_docker_is_told_what_lets_it_start_on_every_kernel(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    images: list[docker.Image] = []
    (site.folder / "database").mkdir()

    def serve(image: docker.Image, _: Site, url: Callable[[int], str], *__: object) -> Server:
        images.append(image)
        return Server(url=url(1), how="")

    monkeypatch.setattr(docker, "serve", serve)
    monkeypatch.setattr(database, "user_names", lambda _: ["admin.warren"])
    server = database.container(site)
    (image,) = images
    assert image.env["GLIBC_TUNABLES"] == "glibc.pthread.rseq=1"
    # By the environment, which no list of processes shows.
    password = image.env["MONGO_INITDB_ROOT_PASSWORD"]
    assert (
        server.url
        == f"mongodb://{image.env['MONGO_INITDB_ROOT_USERNAME']}:{password}@127.0.0.1:1/tuning?authSource=admin"
    )
    assert password not in str(image.arguments)


def test_a_database_with_users_that_nobody_here_made_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    (site.folder / "database").mkdir()
    monkeypatch.setattr(database, "set_user", lambda settings, name, password, roles: made.append(password))
    monkeypatch.setattr(database, "user_names", lambda _: ["admin.mallory", "admin.warren"])
    served: list[str | None] = []

    def serve(password: str | None) -> Server:
        served.append(password)
        return Server(url="mongodb://127.0.0.1:1/tuning", how="")

    for _ in range(2):  # and it is looked at again
        with pytest.raises(StackError, match=r"users that this stack did not make: 'admin\.mallory'"):
            database._with_password(site, serve)
    monkeypatch.setattr(database, "user_names", lambda _: ["admin.warren"])
    database._with_password(site, serve)
    database._with_password(site, serve)
    assert set(made) == {password for password in served if password}
    assert [bool(password) for password in served] == [False, True] * 3 + [True]


def test_images_have_a_tag() -> None:
    assert (docker.RABBITMQ_IMAGE, docker.MONGO_IMAGE) == ("rabbitmq:4-management", "mongo:8")
