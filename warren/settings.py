"""All settings of Warren, read once at an entry point and passed on.

A setting is the environment variable in its alias. ``Settings()`` reads them all; nothing else in
Warren reads the environment for a setting. `named_servers` sets three of them there, while a stack
or a connection to a cluster is open.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from warren.errors import InputError
from warren.host import available_memory, available_threads
from warren.safety.secrets import received
from warren.safety.signing import read_keys


def _split_names(value: object) -> object:
    """Split a list of names at commas, as environment variables have it."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def whole_folders(written: str) -> tuple[str, ...]:
    """Return the absolute paths of folders in a text like ``PATH``."""
    # A user that does not exist stays as written.
    folders = (os.path.expanduser(part.strip()) for part in written.split(os.pathsep))  # noqa: PTH111 - pathlib's raises
    return tuple(os.path.abspath(folder) for folder in folders if folder)  # noqa: PTH100 - don't resolve links


def _split_folders(value: object) -> object:
    return whole_folders(value) if isinstance(value, str) else value


def _place_of_checkpoints(value: object) -> object:
    """Refuse a text that can't be a place, before training begins.

    The first use shows whether it exists.
    """
    if not isinstance(value, str):
        return value
    address = value.strip()
    # A user that does not exist stays as written.
    path = os.path.expanduser(address)  # noqa: PTH111 - pathlib's raises
    if not address or re.fullmatch(r"/.*[^/].*|(file:///|gs://|gcs://|s3://)[^/].*", path, re.DOTALL):
        return address
    raise ValueError(
        "write the whole path of a folder that all workers mount, as /mnt/checkpoints, or the address of a bucket, "
        "gs://bucket/path or s3://bucket/path"
    )


def _keys(value: object) -> object:
    return read_keys(value) if isinstance(value, str) else value


class LogSettings(BaseSettings):
    """The log settings of a process."""

    # Errors don't show a value that can't be used: it may be a password or a key.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$",
        alias="WARREN_LOG_LEVEL",
        description="The lowest level that is logged.",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto",
        alias="WARREN_LOG_FORMAT",
        description="The format of log lines: text, json (one object per line), or auto: text on a terminal, json "
        "elsewhere.",
    )


class Settings(LogSettings):
    """Settings from the environment.

    The description of a field tells its unit, its default, and why.
    """

    amqp_url: str = Field(
        default="amqp://guest:guest@localhost:5672/%2F",
        alias="AMQP_URL",
        repr=False,
        description="RabbitMQ. The default is a fresh broker on this machine.",
    )
    mongo_url: str = Field(
        default="mongodb://localhost:27017/tuning",
        alias="MONGO_URL",
        repr=False,
        description="MongoDB; the path names the database. The default is a fresh server on this machine.",
    )
    key: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_keys)] = Field(
        default=(),
        alias="WARREN_KEY",
        repr=False,
        description="The key that signs studies, chunks and models: 32 or more letters and digits, the same for all "
        "who submit, train and read, or the whole path of a file with it that only its owner can read. Two, with a "
        "comma or on two lines, while it is changed: the first signs, both are accepted. None: nothing is signed.",
    )
    ca_file: str = Field(
        default="",
        alias="WARREN_CA_FILE",
        description="File of PEM certificates: the authorities that a server's certificate must come from, with "
        "amqps:// and for MongoDB with tls=true unless its URL says tlsCAFile. None: those that this machine trusts.",
    )
    connect_seconds: float = Field(
        default=10.0,
        gt=0,
        alias="WARREN_CONNECT_SECONDS",
        description="Seconds to wait for a server until it counts as unreachable. "
        "Long enough for a slow network, short enough for a person.",
    )
    heartbeat_seconds: int = Field(
        default=60,
        ge=5,
        alias="WARREN_HEARTBEAT_SECONDS",
        description="Seconds between AMQP heartbeats; two missed ones free the chunk of a vanished node. "
        "RabbitMQ's own default.",
    )
    blocked_seconds: float = Field(
        default=300.0,
        gt=0,
        alias="WARREN_BLOCKED_SECONDS",
        description="Seconds to wait for a broker that blocks publishers (memory or disk alarm) before reconnecting. "
        "The client's default is for ever.",
    )
    patience_seconds: float = Field(
        default=60.0,
        gt=0,
        alias="WARREN_PATIENCE_SECONDS",
        description="Seconds that a submission waits for a server that is away, counted again after every message that "
        "the broker has confirmed. A broker restarts in less; a person waits no longer.",
    )
    threads: int = Field(
        default_factory=available_threads,
        ge=1,
        alias="WARREN_THREADS",
        description="Threads for one fit, passed to each library in its own way. Default: the cgroup's CPU quota, "
        "rounded down, at least 1: libraries see the whole node otherwise.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        alias="WARREN_DEVICE",
        description="Device of a worker's fits, and trials that it takes. auto: an NVIDIA GPU that it finds and that "
        "no other worker of this user has, otherwise the CPU. cpu: no GPU. gpu: it takes trials for a "
        "GPU even without one; they run on the CPU.",
    )
    flush_seconds: float = Field(
        default=0.8,
        gt=0,
        le=1.0,
        alias="WARREN_FLUSH_SECONDS",
        description="Seconds that a finished trial may wait in the worker for others before it is written. "
        "A crash loses at most this much; at most 1 is allowed.",
    )
    grace_seconds: float = Field(
        default=10.0,
        ge=0,
        alias="WARREN_GRACE_SECONDS",
        description="Seconds that the current trial may still take after SIGTERM. A spot node leaves a pod 15.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        alias="WARREN_MAX_ATTEMPTS",
        description="How often a trial that ends its process is tried before it is FAILED. "
        "One crash may be bad luck, three are not.",
    )
    trial_memory_bytes: int | None = Field(
        default_factory=available_memory,
        gt=0,
        alias="WARREN_TRIAL_MEMORY_BYTES",
        description="Bytes that a training process may hold, data and cache included; if it holds more, its current "
        "trial counts as crashed. Default: 85 % of what the control group grants, so that the trial dies "
        "and not the container; none if there is no limit.",
    )
    trial_seconds: float = Field(
        default=7 * 24 * 3600.0,
        gt=0,
        alias="WARREN_TRIAL_SECONDS",
        description="Seconds that a trial may take on all folds if its study sets no trial_timeout. The default is "
        "a week: no fit takes that long on a machine that may vanish, and no fit blocks a worker for ever.",
    )
    max_lost_workers: int = Field(
        default=10,
        ge=1,
        le=100,  # below the broker's own limit
        alias="WARREN_MAX_LOST_WORKERS",
        description="How many workers in a row may vanish with a chunk, without progress, before it is "
        "dead-lettered. Machines that vanish take ten in a row very rarely, a chunk that kills its workers always.",
    )
    cache_bytes: int = Field(
        default=2 * 1024**3,
        ge=0,
        alias="WARREN_CACHE_BYTES",
        description="Bytes of datasets, folds and binned data that a training process keeps between chunks; the least "
        "recently used are removed first. 2 GiB fits next to a fit on a small node.",
    )
    allow: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names)] = Field(
        default=(),
        alias="WARREN_ALLOW",
        description="Further estimator classes that a message may name, as dotted names separated by commas. "
        "None: only scikit-learn and the three boosting libraries.",
    )
    path: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_folders)] = Field(
        default=(),
        alias="WARREN_PATH",
        description="Folders with the modules of the classes in WARREN_ALLOW, written as in PATH, separated by colons; "
        ". is the working folder. They are searched last. None: only installed modules.",
    )
    checkpoints: Annotated[str, BeforeValidator(_place_of_checkpoints)] = Field(
        default="",
        alias="WARREN_CHECKPOINTS",
        repr=False,
        description="Where checkpoints of networks are stored: the whole path of a folder that all workers mount, "
        "or the address of a bucket, gs://bucket/path or s3://bucket/path. None: an evicted trial begins its fold "
        "again.",
    )
    checkpoint_seconds: float = Field(
        default=30.0,
        ge=0,
        alias="WARREN_CHECKPOINT_SECONDS",
        description="Seconds of training between two checkpoints of a network, at least. They are written at the end "
        "of an epoch, and less often if that takes long: at most a twentieth of the time. An eviction costs so much, "
        "and shorter trainings cost nothing. 0: after every epoch.",
    )
    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        alias="WARREN_WORKER_NAME",
        description="The worker's name in trial documents. Default: host name and process id; a pod's host name is "
        "the pod's.",
    )
    http_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        alias="WARREN_HTTP_PORT",
        description="TCP port of a worker's /healthz, /readyz and /metrics; 0 takes any free one and logs it. "
        "Default: none, since a laptop runs many workers.",
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        alias="WARREN_HTTP_HOST",
        description="Address that this port is opened on. The default is for this machine only; a pod sets 0.0.0.0.",
    )
    http_names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names)] = Field(
        default=(),
        alias="WARREN_HTTP_NAMES",
        description="Further host names for requests to this port, separated by commas, besides localhost, "
        "WARREN_HTTP_HOST and, if that is for other machines, any address: a Service's, a proxy's. A "
        "request with another name gets 403, because it may come from a page in a browser.",
    )


def load_settings() -> Settings:
    """Read the settings from the environment, and make the folders of ``WARREN_PATH`` importable.

    A worker's secrets come from `warren.safety.secrets`.

    Returns
    -------
    Settings
        The settings of this process.

    Raises
    ------
    InputError
        A variable has a value that its setting can't use. Values are not repeated: a URL may hold a
        password.
    """
    try:
        settings = Settings.model_validate(received())
    except ValidationError as exc:
        lines = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors()]
        raise InputError("a setting in the environment can't be used: " + "; ".join(lines)) from None
    # At the end of the path, so that no module there hides an installed one. Our own folder comes
    # before them: processes of joblib need it there too.
    ours = str(Path(__file__).resolve().parents[1])
    sys.path += [folder for folder in (ours, *settings.path) if settings.path and folder not in sys.path]
    return settings


def redact(url: str) -> str:
    """Return a URL with its password replaced, for logs, errors and documents.

    Parameters
    ----------
    url : str
        An ``amqp://`` or ``mongodb://`` URL.

    Returns
    -------
    str
        The URL with ``***`` for the password and without its query, which may contain secrets too.
    """
    # Without a parser: errors show URLs that can't be parsed, for example because of a slash in the
    # password.
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    end = rest.partition("?")[0].rfind("@")
    if end < 0:
        end = rest.rfind("@")
    where = re.split("[?#]", rest[end + 1 :], maxsplit=1)[0]
    user, colon, after = rest[: max(end, 0)].partition(":")
    if end < 0:
        # Text that is not a port may be the password of a URL without a host, unless it is a path:
        # gs:/bucket.
        plain = re.match(r"(\[[^\]]*\]|[^:\[\]/]*)(:\d{1,5})?([/,]|$)", where) or re.match("[a-z0-9]+:/[^:]*$", url)
        return f"{scheme}{mark}{where if plain else where.partition(':')[0] + ':***'}"
    if re.search("[/?#]", user):  # the @ is part of the query, or there is no name before the password
        return f"{scheme}{mark}***@{where}"
    if re.fullmatch(r"\d*(/[^?]*)?\?.*", after):  # host:port/path?query with an @, or a password that looks like it
        return f"{scheme}{mark}***"
    return f"{scheme}{mark}{user}{':***' if colon else ''}@{where}"


# ------------------------------ servers that a block names

_Names = dict[str, str | None]


class _Block:
    """The variables that a block sets, and their values before it."""

    def __init__(self, names: _Names, *, private: bool) -> None:
        self.names = names
        self.private = private
        self.before: _Names = {key: os.environ.get(key) for key in names}


# Open blocks, the latest at the end. They may end in any order, as stacks in a notebook do.
_blocks: list[_Block] = []
_lock = threading.Lock()


@contextlib.contextmanager
def named_servers(amqp_url: str, mongo_url: str, key: str | None = None, *, private: bool = False) -> Iterator[None]:
    """Set ``AMQP_URL``, ``MONGO_URL`` and ``WARREN_KEY`` inside a block, and restore them.

    If blocks overlap, the one that began last counts. When all have ended, in any order, the
    environment is as before the first.

    Parameters
    ----------
    amqp_url, mongo_url : str
        The servers.
    key : str, default=None
        The key, as in ``WARREN_KEY``; None for none.
    private : bool, default=False
        Whether the servers end with the block: see `named_by_others`.
    """
    names: _Names = {"AMQP_URL": amqp_url, "MONGO_URL": mongo_url, "WARREN_KEY": key}
    with _lock:
        block = _Block(names, private=private)
        _blocks.append(block)
        _set(names)
    try:
        yield
    finally:
        with _lock:
            position = _blocks.index(block)
            del _blocks[position]
            if position < len(_blocks):  # a later block is still open, and will restore the values before this one
                _blocks[position].before = block.before
            else:
                _set(block.before)


def _set(names: _Names) -> None:
    for key, value in names.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def named_by_others() -> dict[str, str]:
    """Return the environment without the variables of private blocks.

    The servers of those blocks are not for others to use.
    """
    with _lock:
        found: _Names = dict(os.environ)
        for block in reversed(_blocks):
            # If one of them was changed meanwhile, both are someone's choice.
            if block.private and all(found.get(key) == value for key, value in block.names.items()):
                found |= block.before
    return {key: value for key, value in found.items() if value is not None}
