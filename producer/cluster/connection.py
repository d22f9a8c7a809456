"""A notebook's way to the broker and the database of a cluster."""

from __future__ import annotations

import base64
import contextlib
import logging
from types import TracebackType
from typing import Self
from urllib.parse import quote

from producer.cluster.api import Api
from producer.cluster.explain import RefusedError
from producer.cluster.forwarding import HOST, Forwarding
from producer.environment import named_servers
from producer.lasting import Lasting
from tuning.errors import ClusterError

logger = logging.getLogger(__name__)

BROKER, BROKER_PORT = "rabbitmq", 5672
DATABASE, DATABASE_PORT = "mongodb", 27017


class Connection:
    """Broker and database of a cluster on ports of this machine; made by `Cluster.connect`.

    While it lasts, ``AMQP_URL`` and ``MONGO_URL`` in ``os.environ`` name these ports, and afterwards
    what they named before. It lasts until `close`, and not longer than this object.

    Parameters
    ----------
    api : Api
    """

    def __init__(self, api: Api) -> None:
        with contextlib.ExitStack() as undo:
            secrets = {name: _credentials(api, name) for name in (BROKER, DATABASE)}
            forwarding = Forwarding(api, {BROKER: BROKER_PORT, DATABASE: DATABASE_PORT})
            forwarding.start()
            undo.callback(forwarding.close)
            self._amqp_url = f"amqp://{secrets[BROKER]}@{HOST}:{forwarding.ports[BROKER]}/%2F"
            # Straight to this server: a replica set would tell the names that it has inside of the cluster.
            query = "authSource=admin&directConnection=true"
            self._mongo_url = f"mongodb://{secrets[DATABASE]}@{HOST}:{forwarding.ports[DATABASE]}/tuning?{query}"
            self._where = f"namespace {api.namespace} of {api.where}"
            undo.enter_context(named_servers(self._amqp_url, self._mongo_url))
            say = logger.warning
            self._lasting = Lasting(self, undo.pop_all(), say, "a connection that no variable holds any more ends")

    @property
    def amqp_url(self) -> str:
        """RabbitMQ's URL, password included."""
        return self._amqp_url

    @property
    def mongo_url(self) -> str:
        """MongoDB's URL, password included."""
        return self._mongo_url

    def close(self) -> None:
        """End the connection, and set the environment as it was. Harmless when it is over."""
        self._lasting.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<connected to {BROKER} and {DATABASE} in {self._where}: AMQP_URL and MONGO_URL are set>"


def _credentials(api: Api, name: str) -> str:
    """Return ``user:password`` of a Secret, fit for a URL."""
    try:
        data = api.secret(name).get("data") or {}
    except RefusedError as exc:
        if not exc.missing:
            raise
        raise RefusedError(
            f"no Secret {name} in namespace {api.namespace} of {api.where}: was Warren deployed there? "
            "kubectl apply -k k8s/overlays/...",
            exc.status,
        ) from exc
    missing = [key for key in ("username", "password") if not data.get(key)]
    if missing:
        raise ClusterError(f"Secret {name} in namespace {api.namespace} has no {' and no '.join(missing)}")
    texts = [base64.b64decode(data[key]).decode() for key in ("username", "password")]
    return ":".join(quote(text, safe="") for text in texts)
