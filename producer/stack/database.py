"""A MongoDB-compatible server for a stack: ``MONGO_URL``'s, a ``mongod``, a container, or SecantusDB."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from producer.stack import docker, startup_errors
from producer.stack.ports import HOST, with_free_ports
from producer.stack.private_files import secret
from producer.stack.process import GRACE_SECONDS, Guarded, wait_until_up
from producer.stack.providers import Server, Site, Way, first_that_serves
from warren.errors import InputError, StackError, StoreError, plain
from warren.settings import Settings
from warren.storage.database_users import set_user, user_names
from warren.storage.store import ping

USER = "warren"
# The database that a URL's path names.
DATABASE = "tuning"
# Seconds for the first answer: below 1 here, and room for a recovery of the journal.
START_SECONDS = 60.0
# Seconds for one question to a server that is up.
PING_SECONDS = 5.0
# Gigabytes of cache. MongoDB would take half of the memory, which the training beside it needs.
CACHE_GB = 0.5
# Where mongod is when it is not on a notebook's PATH.
MONGOD_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/mongodb/bin")
REMEDY = (
    "Any one of these helps: set MONGO_URL to a MongoDB that runs; install mongod; start Docker; "
    "pip install secantusdb==0.7.0b3 (a beta server that speaks MongoDB's protocol)."
)


def start_database(site: Site, environ: Mapping[str, str]) -> Server:
    """Bring a MongoDB-compatible server up.

    Parameters
    ----------
    site : Site
        Where the stack lives.
    environ : mapping of str to str
        The environment, which may name a server in ``MONGO_URL``.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        None can be had; the text lists what was tried.
    """
    if url := environ.get("MONGO_URL"):
        try:
            ping(url, PING_SECONDS)
        except (InputError, StoreError) as exc:
            raise StackError(f"MONGO_URL is set: {exc}. Unset it and AMQP_URL to have private ones") from exc
        return Server(url=url, how="MongoDB that MONGO_URL names")
    ways = [
        Way(name="mongod", keeps="mongod", start=private_mongod),
        Way(name="Docker", keeps="docker", start=container),
        Way(name="SecantusDB", keeps="secantusdb", start=secantus),
    ]
    return first_that_serves("MongoDB", site.folder / "database", ways, site, REMEDY)


def _answers(port: int, url: str) -> bool:
    """Whether a server answers. A raw look first: the driver waits long between two of its own."""
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
        ping(url, PING_SECONDS)
    except (OSError, StoreError):
        return False
    return True


def _url(port: int, password: str | None = None) -> str:
    if password is None:
        return f"mongodb://{HOST}:{port}/{DATABASE}"
    return f"mongodb://{USER}:{password}@{HOST}:{port}/{DATABASE}?authSource=admin"


def _with_password(site: Site, serve: Callable[[str | None], Server], *, makes_user: bool = False) -> Server:
    """Run a server that asks for a user and a password.

    Parameters
    ----------
    site : Site
        Where the stack lives.
    serve : callable
        Runs the server for the password that it asks for; None is one that asks for none.
    makes_user : bool, default=False
        It makes its first user by itself. Others do so but while they ask for none: for a moment, at the first start
        and where an earlier version has left data without a user.
    """
    home = site.folder / "database"
    # Hexadecimal: it stands in a URL.
    password = secret(home / "password", partial(secrets.token_hex, 16))
    has_user = home / "has-user"
    is_new = not has_user.exists()
    if is_new and not makes_user:
        with _stopped(serve(None)) as server:
            set_user(Settings(MONGO_URL=server.url), USER, password, ["root"])
    server = serve(password)
    if is_new:
        try:
            _check_users(server.url)
            has_user.touch()
        except BaseException:  # Ctrl-C too: nobody else ends the server
            _stop(server)
            raise
    return server


@contextmanager
def _stopped(server: Server) -> Iterator[Server]:
    """Stop a server at the end of a block."""
    try:
        yield server
    finally:
        _stop(server)


def _stop(server: Server) -> None:
    if server.guarded is not None:
        server.guarded.stop()


def _check_users(url: str) -> None:
    """Refuse users that came while nobody was asked for a password."""
    others = [name for name in user_names(Settings(MONGO_URL=url)) if name != f"admin.{USER}"]
    if others:
        raise StackError(
            f"it has users that this stack did not make: {', '.join(map(plain, others))}. Remove them, or name another "
            "data_dir"
        )


def _serve(site: Site, how: str, command: Callable[[int], list[str]], password: str | None) -> Server:
    """Run a server of this machine under a guard."""
    asks = password is not None

    def start(ports: tuple[int, ...]) -> Server:
        url = _url(ports[0], password)
        guarded = Guarded(
            command(ports[0]) + (["--auth"] if asks else []),
            log=site.logs / "database.log",
            # Its home too: SecantusDB needs one, and who has neither HOME nor a name has none.
            env={**os.environ, "HOME": str(site.folder / "database")},
            # What has just got its user is to have it when it is started again.
            grace=site.grace if asks else GRACE_SECONDS,
            cwd=site.folder / "database",
            hold=site.hold,
        )
        try:
            wait_until_up(
                guarded,
                # In this order: the password is for our own server.
                lambda: guarded.listens_on(ports[0]) and _answers(ports[0], url),
                seconds=START_SECONDS,
                cancelled=site.cancelled,
                causes=startup_errors.of_database(site.folder / "database"),
            )
        except BaseException:  # Ctrl-C too: nobody else ends the server
            guarded.stop()
            raise
        return Server(url=url, how=how, guarded=guarded)

    return with_free_ports(1, start, site.folder / "database.ports" if asks else None)


def private_mongod(site: Site) -> Server:
    """Run the machine's ``mongod`` on a port and a folder of its own.

    Parameters
    ----------
    site : Site
        Where the stack lives.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        There is none, or it doesn't come up.
    """
    program = shutil.which("mongod", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *MONGOD_PLACES]))
    if program is None:
        raise StackError("not on this machine")
    data = site.folder / "database" / "mongod"
    data.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> list[str]:
        return [
            program,
            *("--dbpath", str(data), "--port", str(port), "--bind_ip", HOST, "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB)),
        ]

    how = f"MongoDB, a private {program}"
    return _with_password(site, partial(_serve, site, how, command))


def container(site: Site) -> Server:
    """Run MongoDB in Docker; parameters and errors as in `docker.serve`."""
    image = docker.Image(
        role="database",
        name=docker.MONGO_IMAGE,
        port=27017,
        data="/data/db",
        env=docker.MONGO_ENV,
        arguments=("--wiredTigerCacheSizeGB", str(CACHE_GB)),
        causes=startup_errors.of_database(site.folder / "database"),
    )

    def serve(password: str | None) -> Server:
        # The image makes this user on an empty volume, and asks for a password on every one.
        user = {"MONGO_INITDB_ROOT_USERNAME": USER, "MONGO_INITDB_ROOT_PASSWORD": password} if password else {}
        asking = replace(image, env={**image.env, **user})
        return docker.serve(asking, site, partial(_url, password=password), _answers)

    return _with_password(site, serve, makes_user=not docker.has_volume(image, site))


def find_secantus() -> str:
    """Find SecantusDB's server: beside this interpreter, where pip puts it, or on the ``PATH``.

    Returns
    -------
    str

    Raises
    ------
    StackError
        It isn't installed.
    """
    # Not resolved: a virtual environment's interpreter is a link to one that knows nothing of its packages.
    beside = Path(sys.executable).with_name("secantusd-py")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("secantusd-py")
    if found is None:
        raise StackError("not installed; pip install secantusdb==0.7.0b3")
    return found


def secantus(site: Site) -> Server:
    """Run SecantusDB, which speaks MongoDB's protocol and needs nothing but pip.

    A process and not an import: its licence is the GPL.

    Parameters
    ----------
    site : Site
        Where the stack lives.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        It isn't installed, or doesn't come up.
    """
    program = find_secantus()
    data = site.folder / "database" / "secantusdb"
    data.mkdir(parents=True, exist_ok=True)
    # An empty one: otherwise it reads the first that it finds in the working directory, the home or /etc.
    config = site.folder / "database" / "secantusdb.toml"
    config.touch()
    # Kept results survive a power cut too. What goes with the stack needn't wait for the disk.
    durable = [] if site.temporary else ["--sync-on-commit"]

    def command(port: int) -> list[str]:
        return [
            program,
            *("--config", str(config), "--host", HOST, "--port", str(port), "--storage-path", str(data)),
            *("--cache-size", f"{int(CACHE_GB * 1024)}M"),
            *durable,
        ]

    how = f"SecantusDB, {program}"
    return _with_password(site, partial(_serve, site, how, command))
