"""``python -m producer.users``: makes the users of a broker and a database that may do what they need, and no more.

Run by Compose and Kubernetes once both servers are there, and again whenever somebody likes: users that are there get
the passwords and permissions that they should have. ``AMQP_URL`` and ``MONGO_URL`` name administrators of both, whom
nobody else uses. A user whose password is in no variable is left alone.

======== ================================================== =====================
user     RabbitMQ                                           MongoDB
======== ================================================== =====================
worker   takes chunks, puts back copies and dead letters,   reads and writes
         declares queues that are missing
producer publishes chunks, reads dead letters               reads and writes
viewer   nothing                                            reads
watcher  sees how long the queues are                       nothing
backup   nothing                                            reads
======== ================================================== =====================

The passwords: ``WORKER_RABBITMQ_PASSWORD``, ``WORKER_MONGO_PASSWORD`` and so on.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

from warren import broker, tls
from warren.errors import BrokerError, WarrenError
from warren.logs import configure_logging
from warren.settings import Settings, load_settings, redact
from warren.storage import database_users
from warren.storage.store import Store

logger = logging.getLogger("producer.users")

# Seconds to wait for servers that are starting, and between two tries.
PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 3.0
# Seconds for an answer of the broker's management.
_API_SECONDS = 10.0
# Where the broker's management listens, on the broker's host: RabbitMQ's own default, in clear and with TLS.
_API_PORT, _API_TLS_PORT = 15672, 15671
# Publishing to a queue by its name goes through this exchange, which RabbitMQ lets nobody be kept from one queue of:
# who may publish a copy of a chunk may publish any.
_PUBLISH = r"^amq\.default$"
_QUEUES = r"^chunks(\..+)?$"
_DEAD = r"^chunks\.dead$"
_NONE = "^$"


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """What a user may do in the broker: regular expressions of names, as ``rabbitmqctl set_permissions`` takes them."""

    configure: str = _NONE
    write: str = _NONE
    read: str = _NONE
    tags: str = ""


@dataclass(frozen=True, kw_only=True)
class Role:
    """A user of both servers; None is no user there."""

    broker: Permissions | None = None
    database: str | None = None


ROLES: Mapping[str, Role] = {
    # Declaring a queue with a target for dead letters asks for reading it, and for writing to the target's exchange.
    "worker": Role(broker=Permissions(configure=_QUEUES, write=_PUBLISH, read=_QUEUES), database="readWrite"),
    "producer": Role(broker=Permissions(write=_PUBLISH, read=_DEAD), database="readWrite"),
    "viewer": Role(database="read"),
    "watcher": Role(broker=Permissions(tags="management")),
    "backup": Role(database="read"),
}


def make_users(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Make users, or set right those that are there.

    Parameters
    ----------
    settings : Settings
        Name both servers, each with an administrator.
    environ : mapping of str to str
        Has the passwords.

    Returns
    -------
    list of str
        What was made: ``worker in RabbitMQ``.

    Raises
    ------
    WarrenError
        A server is unreachable or refuses.
    """
    made = []
    for name, role in ROLES.items():
        password = environ.get(f"{name.upper()}_RABBITMQ_PASSWORD")
        if role.broker is not None and password:
            set_broker_user(settings, name, password, role.broker)
            made.append(f"{name} in RabbitMQ")
        password = environ.get(f"{name.upper()}_MONGO_PASSWORD")
        if role.database is not None and password:
            database = _database(settings)
            database_users.set_user(settings, name, password, [{"role": role.database, "db": database}])
            made.append(f"{name} in MongoDB")
    if any(one.endswith("RabbitMQ") for one in made):
        broker.check(settings)  # declares every queue: users need not, and one of them may not
    return made


def _database(settings: Settings) -> str:
    store = Store(settings)
    try:
        return store.database
    finally:
        store.close()


def set_broker_user(settings: Settings, name: str, password: str, permissions: Permissions) -> None:
    """Make a user of the broker, or give the one that is there this password and these permissions, and no others.

    Raises
    ------
    BrokerError
        The broker's management is unreachable or refuses.
    """
    host = quote(unquote(urlsplit(settings.amqp_url).path[1:]) or "/", safe="")
    _put(settings, f"/api/users/{name}", {"password": password, "tags": permissions.tags})
    allowed = {"configure": permissions.configure, "write": permissions.write, "read": permissions.read}
    _put(settings, f"/api/permissions/{host}/{name}", allowed)


def _put(settings: Settings, path: str, content: Mapping[str, str]) -> None:
    url = urlsplit(settings.amqp_url)
    encrypted = url.scheme == "amqps"  # a password is never sent in clear where the broker's own URL asks for TLS
    port = _API_TLS_PORT if encrypted else _API_PORT
    where = f"the management of RabbitMQ at {redact(settings.amqp_url)}, port {port},"
    user = f"{unquote(url.username or 'guest')}:{unquote(url.password or 'guest')}"
    headers = {
        "Authorization": "Basic " + base64.b64encode(user.encode()).decode(),
        "Content-Type": "application/json",
    }
    server = url.hostname or "localhost"
    connection: http.client.HTTPConnection
    if encrypted:
        connection = http.client.HTTPSConnection(server, port, timeout=_API_SECONDS, context=tls.context(settings))
    else:
        connection = http.client.HTTPConnection(server, port, timeout=_API_SECONDS)
    try:
        connection.request("PUT", path, json.dumps(content), headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as exc:
        reason = tls.advice(exc, settings) if encrypted else None
        raise BrokerError(f"{where} can't be reached: {reason or type(exc).__name__}") from exc
    finally:
        connection.close()
    if answer.status not in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT, HTTPStatus.OK}:
        raise BrokerError(f"{where} refused PUT {path} ({answer.status}): is the user an administrator?")


def main() -> int:
    """Make the users, waiting for servers that are starting; return the exit code."""
    try:
        settings = load_settings()
    except WarrenError as exc:
        sys.stderr.write(f"users: {exc}\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            made = make_users(settings, os.environ)
        except WarrenError as exc:
            again = time.monotonic() + _PAUSE_SECONDS < deadline
            logger.log(
                logging.WARNING if again else logging.CRITICAL,
                "the users are not made yet" if again else "the users could not be made",
                extra={"reason": str(exc)},
            )
            if not again:
                return 1
            time.sleep(_PAUSE_SECONDS)
        else:
            logger.info("users are as they should be", extra={"users": made})
            return 0


if __name__ == "__main__":
    sys.exit(main())
