"""A stack's MongoDB: ``MONGO_URL``'s, a ``mongod``, a container, or SecantusDB."""

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
# The database in a URL's path.
DATABASE = "tuning"
# Seconds for the first answer: less than 1 usually, and spare for a recovery of the journal.
START_SECONDS = 60.0
# Seconds for one query to a running server.
PING_SECONDS = 5.0
# Gigabytes of cache. MongoDB would use half of the memory, which the training next to it needs.
CACHE_GB = 0.5
# Where mongod is installed outside a notebook's PATH.
MONGOD_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/mongodb/bin")
REMEDY = (
    "Any one of these helps: set MONGO_URL to a MongoDB that runs; install mongod; start Docker; "
    "pip install secantusdb==0.7.0b3 (a beta server that speaks MongoDB's protocol)."
)


def start_database(site: Site, environ: Mapping[str, str]) -> Server:
    """Start a MongoDB-compatible server, or use an existing one.

    Parameters
    ----------
    site : Site
        The stack's folder and progress messages.
    environ : mapping of str to str
        The environment, which may name a server in ``MONGO_URL``.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        No way works; the text lists what was tried.
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
    """Return whether a server answers; a raw socket first, because the driver checks rarely."""
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
    """Run a server that requires a user and a password.

    Parameters
    ----------
    site : Site
        The stack's folder and progress messages.
    serve : callable
        Runs the server with a password; None starts it without authentication.
    makes_user : bool, default=False
        Whether the server creates its first user by itself. Otherwise it runs without
        authentication for a moment, at the first start and if an earlier version has left data
        without a user.
    """
    home = site.folder / "database"
    # Hexadecimal, because it is part of a URL.
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
        except BaseException:  # Ctrl-C too: no other code ends the server
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
    """Refuse users that were added while the server had no authentication."""
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
            # Set its home, too: SecantusDB needs one, and a user without HOME and name has none.
            env={**os.environ, "HOME": str(site.folder / "database")},
            # The server that has just got its user must have it after the restart.
            grace=site.grace if asks else GRACE_SECONDS,
            cwd=site.folder / "database",
            hold=site.hold,
        )
        wait_until_up(
            guarded,
            # In this order: the password is for our own server.
            lambda: guarded.listens_on(ports[0]) and _answers(ports[0], url),
            seconds=START_SECONDS,
            cancelled=site.cancelled,
            causes=startup_errors.of_database(site.folder / "database"),
        )
        return Server(url=url, how=how, guarded=guarded)

    return with_free_ports(1, start, site.folder / "database.ports" if asks else None)


def private_mongod(site: Site) -> Server:
    """Run the machine's ``mongod`` with its own port and folder: a `Way.start`."""
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
        # The image creates this user on an empty volume, and always requires a password.
        user = {"MONGO_INITDB_ROOT_USERNAME": USER, "MONGO_INITDB_ROOT_PASSWORD": password} if password else {}
        asking = replace(image, env={**image.env, **user})
        return docker.serve(asking, site, partial(_url, password=password), _answers)

    return _with_password(site, serve, makes_user=not docker.has_volume(image, site))


def find_secantus() -> str:
    """Find SecantusDB's server: next to this interpreter, or on the ``PATH``.

    Returns
    -------
    str

    Raises
    ------
    StackError
        It isn't installed.
    """
    # Not resolved: a virtual environment's interpreter is a link to one without its packages.
    beside = Path(sys.executable).with_name("secantusd-py")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("secantusd-py")
    if found is None:
        raise StackError("not installed; pip install secantusdb==0.7.0b3")
    return found


def secantus(site: Site) -> Server:
    """Run SecantusDB, which speaks MongoDB's protocol and needs only pip: a `Way.start`.

    It runs as a process and is not imported, because its licence is the GPL.
    """
    program = find_secantus()
    data = site.folder / "database" / "secantusdb"
    data.mkdir(parents=True, exist_ok=True)
    # An empty one: otherwise it reads the first in the working directory, the home folder or /etc.
    config = site.folder / "database" / "secantusdb.toml"
    config.touch()
    # Kept results must survive a power failure, too. Temporary ones need not wait for the disk.
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
