"""Connects a notebook to the broker and the database of a cluster."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import quote

from producer.cluster.api import Api
from producer.cluster.api_errors import RefusedError
from producer.cluster.port_forward import HOST, Forwarding
from producer.lifetime import Lasting
from warren.errors import ClusterError
from warren.settings import named_servers

logger = logging.getLogger(__name__)

BROKER, BROKER_PORT = "rabbitmq", 5672
DATABASE, DATABASE_PORT = "mongodb", 27017
# Secrets with the producer's passwords, and with the signing key.
_PRODUCER, _SIGNING = "producer", "signing"


class Connection:
    """The broker and the database of a cluster on ports of this machine; made by `Cluster.connect`.

    While it is open, ``AMQP_URL`` and ``MONGO_URL`` in ``os.environ`` point to these ports and
    ``WARREN_KEY`` is the cluster's key; afterwards they have their old values. It closes by
    `close`, or when this object is deleted.

    Parameters
    ----------
    api : Api
    """

    def __init__(self, api: Api) -> None:
        with contextlib.ExitStack() as undo:
            secrets = _users(api)
            self._key = _key(api)
            forwarding = Forwarding(api, {BROKER: BROKER_PORT, DATABASE: DATABASE_PORT})
            forwarding.start()
            undo.callback(forwarding.close)
            self._amqp_url = f"amqp://{secrets[BROKER]}@{HOST}:{forwarding.ports[BROKER]}/%2F"
            # A direct connection: a replica set would redirect to names that resolve only inside
            # the cluster.
            query = "authSource=admin&directConnection=true"
            self._mongo_url = f"mongodb://{secrets[DATABASE]}@{HOST}:{forwarding.ports[DATABASE]}/tuning?{query}"
            self._where = f"namespace {api.namespace} of {api.where}"
            undo.enter_context(named_servers(self._amqp_url, self._mongo_url, self._key))
            say = logger.warning
            self._lasting = Lasting(self, undo.pop_all(), say, "closing a connection that no variable holds any more")

    @property
    def amqp_url(self) -> str:
        """RabbitMQ's URL, password included."""
        return self._amqp_url

    @property
    def mongo_url(self) -> str:
        """MongoDB's URL, password included."""
        return self._mongo_url

    @property
    def key(self) -> str | None:
        """The key that signs this cluster's studies, as in ``WARREN_KEY``; None without signing."""
        return self._key

    def close(self) -> None:
        """Close the connection and restore the environment. Does nothing if it is closed."""
        self._lasting.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<connected to {BROKER} and {DATABASE} in {self._where}: AMQP_URL and MONGO_URL are set>"


def _users(api: Api) -> dict[str, str]:
    """Return ``user:password`` of the producer for the broker and the database, quoted for URLs."""
    found = _read(api, _PRODUCER, [f"{server}_password" for server in (BROKER, DATABASE)])
    if found is not None:
        return {server: _joined(_PRODUCER, found[f"{server}_password"]) for server in (BROKER, DATABASE)}
    # Older installations have only an administrator for each server.
    users = {}
    for server in (BROKER, DATABASE):
        data = _read(api, server, ["username", "password"])
        if data is None:
            raise RefusedError(
                f"no Secret {_PRODUCER} and no Secret {server} in namespace {api.namespace} of {api.where}: is Warren "
                "deployed there? kubectl apply -k k8s/overlays/...",
                HTTPStatus.NOT_FOUND,
            )
        users[server] = _joined(data["username"], data["password"])
    return users


def _key(api: Api) -> str | None:
    """Return the cluster's key, or None: the environment's key then belongs to another cluster."""
    data = _read(api, _SIGNING, [])
    return data.get("key") or None if data else None


def _read(api: Api, name: str, keys: Sequence[str]) -> dict[str, str] | None:
    """Return a Secret's data, which must have these keys; None if there is no such Secret."""
    try:
        data = api.secret(name).get("data") or {}
    except RefusedError as exc:
        if not exc.missing:
            raise
        return None
    missing = [key for key in keys if not data.get(key)]
    if missing:
        raise ClusterError(f"Secret {name} in namespace {api.namespace} has no {' and no '.join(missing)}")
    return {key: base64.b64decode(value or "").decode() for key, value in data.items()}


def _joined(user: str, password: str) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}"
