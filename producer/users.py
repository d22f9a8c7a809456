"""Creates the users of the broker and the database with minimal permissions.

Run it by ``python -m producer.users``.


Compose and Kubernetes run it once both servers run. It may run again: existing users get the right
passwords and permissions. ``AMQP_URL`` and ``MONGO_URL`` must have administrators, which nothing
else uses. A user without a password variable is not changed.

======== ================================================== =====================
user     RabbitMQ                                           MongoDB
======== ================================================== =====================
worker   consumes chunks, publishes copies and dead         reads and writes
         letters, declares missing queues
producer publishes chunks, reads dead letters               reads and writes
viewer   nothing                                            reads
watcher  reads the lengths of queues                        nothing
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

# Seconds to wait for starting servers, and between two attempts.
PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 3.0
# Seconds for a response of RabbitMQ's management API.
_API_SECONDS = 10.0
# RabbitMQ's default ports of the management API, without and with TLS.
_API_PORT, _API_TLS_PORT = 15672, 15671
# Publishing to a queue by name uses this exchange, for which RabbitMQ has no permissions per queue:
# a user that may publish a copy of a chunk may publish any chunk.
_PUBLISH = r"^amq\.default$"
_QUEUES = r"^chunks(\..+)?$"
_DEAD = r"^chunks\.dead$"
_NONE = "^$"


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """A broker user's permissions: regular expressions as for ``rabbitmqctl set_permissions``."""

    configure: str = _NONE
    write: str = _NONE
    read: str = _NONE
    tags: str = ""


@dataclass(frozen=True, kw_only=True)
class Role:
    """A user's rights on both servers; None creates no user there."""

    broker: Permissions | None = None
    database: str | None = None


ROLES: Mapping[str, Role] = {
    # Declaring a queue with a dead-letter target needs the right to read it, and to write to the
    # target's exchange.
    "worker": Role(broker=Permissions(configure=_QUEUES, write=_PUBLISH, read=_QUEUES), database="readWrite"),
    "producer": Role(broker=Permissions(write=_PUBLISH, read=_DEAD), database="readWrite"),
    "viewer": Role(database="read"),
    "watcher": Role(broker=Permissions(tags="management")),
    "backup": Role(database="read"),
}


def make_users(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Create users, or update existing ones.

    Parameters
    ----------
    settings : Settings
        The addresses of both servers, with administrators.
    environ : mapping of str to str
        Has the passwords.

    Returns
    -------
    list of str
        The users, such as ``worker in RabbitMQ``.

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
    if any(user.endswith("RabbitMQ") for user in made):
        broker.check(settings)  # declares every queue, which not every user may do
    return made


def _database(settings: Settings) -> str:
    store = Store(settings)
    try:
        return store.database
    finally:
        store.close()


def set_broker_user(settings: Settings, name: str, password: str, permissions: Permissions) -> None:
    """Create a user of the broker, or replace the password and permissions of an existing one.

    Raises
    ------
    BrokerError
        The management API is unreachable or refuses.
    """
    host = quote(unquote(urlsplit(settings.amqp_url).path[1:]) or "/", safe="")
    _put(settings, f"/api/users/{name}", {"password": password, "tags": permissions.tags})
    allowed = {"configure": permissions.configure, "write": permissions.write, "read": permissions.read}
    _put(settings, f"/api/permissions/{host}/{name}", allowed)


def _put(settings: Settings, path: str, content: Mapping[str, str]) -> None:
    url = urlsplit(settings.amqp_url)
    encrypted = url.scheme == "amqps"  # if the broker's URL uses TLS, never send a password without it
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
    """Create the users, waiting for starting servers; return the exit code."""
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
                "can't create the users yet" if again else "can't create the users",
                extra={"reason": str(exc)},
            )
            if not again:
                return 1
            time.sleep(_PAUSE_SECONDS)
        else:
            logger.info("users are created or updated", extra={"users": made})
            return 0


if __name__ == "__main__":
    sys.exit(main())
