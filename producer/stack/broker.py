"""RabbitMQ for a stack: ``AMQP_URL``'s, a private node, a container, or a new installation."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from producer.stack import apt, docker, startup_errors
from producer.stack.ports import HOST, with_free_ports
from producer.stack.private_files import close_to_others, secret
from producer.stack.process import Guarded, wait_until_up
from producer.stack.providers import Server, Site, Way, first_that_serves
from warren.broker import CONSUMER_TIMEOUT_MS, ping
from warren.errors import BrokerError, StackError

USER = "warren"
# Never change it: the data folder contains the node's name. Nodes of several stacks don't conflict,
# because each has its own epmd.
NODE = "warren@localhost"
# Bytes. RabbitMQ blocks publishers when the disk has less free space. Its own default is 50 MB,
# too; the images and many guides raise it to the size of the memory, which a full laptop does not
# have.
DISK_FREE_LIMIT = 50_000_000
# Seconds for the first answer: usually 3, ten times that on a slow disk, and spare.
START_SECONDS = 60.0
# Seconds for a connection to a running broker.
PING_SECONDS = 10.0
# Start scripts outside a notebook's PATH: Debian and RPM packages, then Homebrew.
PLACES = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/local/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin/rabbitmq-server",
)
# RabbitMQ passes its data folder to a shell, and its logs' names as a pattern: with an apostrophe
# it hangs, and with a backslash it does not find its queues after a restart.
_ODD = re.compile(r"['\\*?\[\]{}]")
# A name for its working folder without such characters, on Linux.
_HERE = Path("/proc/self/cwd")
# Where Erlang is installed outside a notebook's PATH.
ERLANG_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin")
REMEDY = (
    "Any one of these helps: set AMQP_URL to a RabbitMQ that runs; install one "
    "(Debian and Ubuntu: apt-get install rabbitmq-server; macOS: brew install rabbitmq); start Docker."
)


def start_broker(site: Site, environ: Mapping[str, str]) -> Server:
    """Start RabbitMQ, or use an existing one.

    Parameters
    ----------
    site : Site
        The stack's folder and progress messages.
    environ : mapping of str to str
        The environment, which may name a broker in ``AMQP_URL``.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        No way works; the text lists what was tried.
    """
    if url := environ.get("AMQP_URL"):
        try:
            ping(url, PING_SECONDS)
        except BrokerError as exc:
            raise StackError(f"AMQP_URL is set: {exc}. Unset it and MONGO_URL to have private ones") from exc
        return Server(url=url, how="RabbitMQ that AMQP_URL names")
    ways = [
        Way(name="rabbitmq-server", keeps="rabbitmq-server", start=lambda site: private_node(site, find_server())),
        Way(name="Docker", keeps="docker", start=container),
        Way(name="apt-get", keeps="rabbitmq-server", start=installed_node),
    ]
    return first_that_serves("RabbitMQ", site.folder / "broker", ways, site, REMEDY)


def find_server(places: Iterable[str] = PLACES) -> Path:
    """Find RabbitMQ's own start script.

    Parameters
    ----------
    places : iterable of str
        Where to look in addition to the ``PATH``.

    Returns
    -------
    Path

    Raises
    ------
    StackError
        There is none.
    """
    on_path = shutil.which("rabbitmq-server")
    for place in [on_path, *places] if on_path else places:
        script = Path(place)
        if not os.access(script, os.X_OK):
            continue
        # Packages put a wrapper on the PATH that changes to the user and folder of the system's
        # node.
        wrapper = script.resolve().name == "rabbitmq-script-wrapper" or b"su rabbitmq" in script.read_bytes()
        if not wrapper:
            return script
    raise StackError("not on this machine")


def _path() -> str:
    """Return the PATH, followed by the folders where Erlang may be installed."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *ERLANG_PLACES])


def _find_epmd() -> str:
    """Find Erlang's port mapper, which is part of Erlang but not always on the PATH."""
    path = _path()
    erl = shutil.which("erl", path=path)
    if erl is None:
        raise StackError("RabbitMQ is here, but Erlang's erl is not on the PATH")
    beside = Path(erl).resolve().with_name("epmd")
    epmd = shutil.which("epmd", path=path) or (str(beside) if beside.exists() else None)
    if epmd is None:
        raise StackError(f"RabbitMQ is here, but Erlang's epmd is neither on the PATH nor beside {erl}")
    return epmd


def _password(home: Path) -> str:
    """Return the password of a node; it stays the same while its data folder exists."""
    # Hexadecimal, so that it needs no quotes in a URL and in a configuration file.
    return secret(home / "password", partial(secrets.token_hex, 16))


def _write_config(home: Path, password: str) -> None:
    """Write the configuration that a private node reads at its start."""
    config = home / "rabbitmq.conf"
    config.touch(mode=0o600)
    close_to_others([config])
    config.write_text(
        f"""# Written anew at every start.
# Milliseconds that a worker may keep a chunk. RabbitMQ's own 30 minutes would take a long one away.
consumer_timeout = {CONSUMER_TIMEOUT_MS}
# Bytes. Absolute: nothing of what is queued is large, and laptops are full.
disk_free_limit.absolute = {DISK_FREE_LIMIT}
# Made when the database is first created. A user of its own, since anybody on the machine knows guest's password.
default_user = {USER}
default_pass = {password}
# Everything in one file, the one that the stack shows when a start fails.
log.file = false
log.console = true
log.console.level = info
"""
    )
    (home / "enabled_plugins").write_text("[].\n")


def node_environment(home: Path, ports: tuple[int, int, int]) -> dict[str, str]:
    """Return the environment that makes a node private, whatever the system's configuration is.

    Parameters
    ----------
    home : Path
        The node's folder, in which it runs.
    ports : tuple of int
        For AMQP, for Erlang's distribution, for epmd.

    Returns
    -------
    dict of str to str
    """
    amqp, distribution, epmd = ports
    data = home / "mnesia"
    if odd := _ODD.search(str(data)):
        if not _HERE.exists():
            raise StackError(
                f"RabbitMQ does not take a folder with {odd[0]} in its path: {home}; name another data_dir"
            )
        data = _HERE / data.name
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
    return {
        **inherited,
        "PATH": _path(),
        # Erlang keeps its cookie there.
        "HOME": str(home),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": HOST,
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(data),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        # To load code, Erlang searches some 70 folders per module, and hands each search to another
        # thread: a very short spin before a thread sleeps halves the start (6 s to 3 s on two idle
        # cores, measured), and costs 0.1 % of a core when idle. Longer spins gain nothing and cost
        # more.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
        "+sbwt very_short +sbwtdcpu none +sbwtdio very_short",
    }


def _greets(port: int) -> bool:
    """Return whether a port speaks AMQP, by a raw socket: pika logs refusals as errors."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # a method frame: connection.start
    except OSError:
        return False


def _answers(port: int, url: str) -> bool:
    """Return whether a broker accepts connections."""
    if not _greets(port):
        return False
    try:
        ping(url, PING_SECONDS)
    except BrokerError as exc:
        raise StackError(f"it speaks AMQP, but: {exc}") from exc
    return True


def private_node(site: Site, script: Path) -> Server:
    """Run a node with its own ports, data and user, separate from any node of the system.

    Parameters
    ----------
    site : Site
        The stack's folder and progress messages.
    script : Path
        RabbitMQ's start script.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        The node does not start.
    """
    home = site.folder / "broker" / "rabbitmq-server"
    home.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home).free) < DISK_FREE_LIMIT:
        raise StackError(
            f"the disk of {home} has {free / 1e6:.0f} MB left, and RabbitMQ takes no message below "
            f"{DISK_FREE_LIMIT / 1e6:.0f}: make room, or name another data_dir"
        )
    password = _password(home)
    _write_config(home, password)
    epmd_program = _find_epmd()

    def start(ports: tuple[int, ...]) -> Server:
        amqp, distribution, epmd = ports
        url = f"amqp://{USER}:{password}@{HOST}:{amqp}/%2F"
        guarded = Guarded(
            [str(script)],
            log=site.logs / "broker.log",
            env=node_environment(home, (amqp, distribution, epmd)),
            # Erlang writes its crash dump into the working folder.
            cwd=home,
            grace=site.grace,
            hold=site.hold,
            # In the foreground with its own epmd: otherwise the node starts one that never ends, or
            # uses the system's, where another stack's node has the same name.
            beside=[epmd_program, "-port", str(epmd), "-address", HOST],
        )
        wait_until_up(
            guarded,
            lambda: _greets(amqp) and guarded.listens_on(amqp) and _answers(amqp, url),
            seconds=START_SECONDS,
            cancelled=site.cancelled,
            causes=startup_errors.of_broker(site.folder / "broker"),
        )
        return Server(url=url, how=f"RabbitMQ, a private node of {script}", guarded=guarded)

    return with_free_ports(3, start, site.folder / "broker.ports")


def container(site: Site) -> Server:
    """Run RabbitMQ in Docker; parameters and errors as in `docker.serve`."""
    password = _password(site.folder / "broker")
    # The password is alphanumeric, so it needs no quotes in the URL.
    image = docker.Image(
        role="broker",
        name=docker.RABBITMQ_IMAGE,
        port=5672,
        data="/var/lib/rabbitmq",
        env={
            "RABBITMQ_DEFAULT_USER": USER,
            "RABBITMQ_DEFAULT_PASS": password,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-rabbit consumer_timeout {CONSUMER_TIMEOUT_MS} "
            f"-rabbit disk_free_limit {DISK_FREE_LIMIT}",
        },
        causes=startup_errors.of_broker(site.folder / "broker"),
    )
    return docker.serve(image, site, lambda port: f"amqp://{USER}:{password}@{HOST}:{port}/%2F", _answers)


def installed_node(site: Site) -> Server:
    """Install RabbitMQ with apt-get and run a private node of it."""
    try:
        find_server()
    except StackError:
        apt.install("rabbitmq-server", site)
        return private_node(site, find_server())
    raise StackError("rabbitmq-server is installed already")
