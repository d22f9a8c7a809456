"""RabbitMQ: connections, the queues that both sides declare, and errors that a person can read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from warren import tls
from warren.errors import BrokerError, InputError, plain
from warren.queues import DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import Settings, redact
from warren.urls import problem_of

# The broker dead-letters a chunk after so many deliveries. Evictions count here (before RabbitMQ
# 4.3 every requeue does), and failed attempts of a trial are counted separately, so this only stops
# a message that kills each of its workers at once. RabbitMQ 4 would use 20.
DELIVERY_LIMIT = 200

# Milliseconds that a chunk may stay unacknowledged: a day. RabbitMQ's own 30 minutes would
# redeliver a long chunk while its worker still trains. A queue argument since RabbitMQ 3.12.
CONSUMER_TIMEOUT_MS = 24 * 3600 * 1000

QUEUE_ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-consumer-timeout": CONSUMER_TIMEOUT_MS,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
}
# A dead letter has no further queue to go to: RabbitMQ 4 would drop one that was read and requeued
# 20 times.
DEAD_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}

# Headers of a message: the id of its study's database (`warren.storage.database_id`) and that
# database's URL without its password; its signature (`warren.safety.signing`); why it is a dead
# letter; and, for a copy, that a worker had it before, which the broker does not report for copies.
DATABASE_HEADER = "x-warren-database"
URL_HEADER = "x-warren-database-url"
SIGNATURE_HEADER = "x-warren-signature"
REASON_HEADER = "x-warren-reason"
AGAIN_HEADER = "x-warren-again"
_LONGEST_URL = 300
_LONGEST_SIGNATURE = 200
_JSON = "application/json"
# Limits for one reading of the dead letters, in messages and bytes: they are in memory meanwhile.
_MOST_READ = 5_000
_MOST_BYTES = 64 * 2**20
# A dead letter that was requeued so often is published again instead: RabbitMQ 4 drops it after 20
# returns if an earlier version of ours declared the queue, without a limit of its own.
_MOST_RETURNS = 10
# Why RabbitMQ moves a message to the dead letters (https://www.rabbitmq.com/docs/dlx).
_DEATHS = {
    "maxlen": "its queue was full (max-length)",
    "expired": "it waited longer than allowed (message-ttl)",
    "delivery_limit": "it was requeued more often than allowed (delivery-limit)",
    "rejected": "a consumer rejected it",
}
_NOT_FOUND = 404

# Brokers without a server, by the URL that stands for them; `warren.testing` adds them.
IN_MEMORY: dict[str, Any] = {}

# RabbitMQ's text when a limit on connections, channels or queues is reached; it names user and
# virtual host.
_LIMIT = re.compile(r"(?:NOT_ALLOWED|PRECONDITION_FAILED) - ([^\n]*\blimit\b[^\n]*\(\d+\)(?: is reached)?)")


def parameters(settings: Settings, connection_name: str) -> pika.URLParameters:
    """Return pika's connection parameters.

    Parameters
    ----------
    settings : Settings
        The broker's URL and the waiting times.
    connection_name : str
        The name on RabbitMQ's management page.

    Returns
    -------
    pika.URLParameters
        For one attempt: the caller decides about retries. With amqps://, certificate and host name
        are verified.

    Raises
    ------
    BrokerError
        The URL can't be read, or disables verification; or the file of authorities can't be read.
    """
    url = redact(settings.amqp_url)
    form = "write amqp://user:password@host:5672/%2F, or amqps:// and port 5671 for TLS"
    if problem := problem_of(settings.amqp_url, "amqp", "amqps"):
        raise BrokerError(f"AMQP_URL {url!r} can't be read: {problem}. So {form}")
    try:
        found = pika.URLParameters(settings.amqp_url)
        if found.ssl_options is not None:
            # Set in the URL itself: pika's way to use client certificates, and authorities for one
            # broker only.
            if "ssl_options" not in urlsplit(settings.amqp_url).query:
                found.ssl_options = pika.SSLOptions(tls.context(settings))
            tls.check_verifies(found.ssl_options.context)
    except InputError as exc:
        raise BrokerError(f"RabbitMQ at {url}: {exc}") from None
    except (ValueError, TypeError, KeyError, SyntaxError, OSError):
        # Without the cause: it repeats parts of the URL, and a notebook shows tracebacks.
        raise BrokerError(f"AMQP_URL {url!r} can't be read, perhaps because of an option after its ?: {form}") from None
    found.heartbeat = settings.heartbeat_seconds
    found.blocked_connection_timeout = settings.blocked_seconds
    found.socket_timeout = found.stack_timeout = settings.connect_seconds
    found.connection_attempts = 1
    found.client_properties = {"connection_name": connection_name}
    return found


def connect(settings: Settings, connection_name: str) -> pika.BlockingConnection:
    """Open a connection to a broker that has all queues.

    Parameters
    ----------
    settings : Settings
        The broker's URL.
    connection_name : str
        The name on RabbitMQ's management page.

    Returns
    -------
    pika.BlockingConnection
        The open connection.

    Raises
    ------
    BrokerError
        The broker is unreachable or refuses.
    """
    try:
        if settings.amqp_url in IN_MEMORY:
            connection = cast("pika.BlockingConnection", IN_MEMORY[settings.amqp_url].connection())
        else:
            connection = pika.BlockingConnection(parameters(settings, connection_name))
        try:
            with connection.channel() as opened:
                declare(opened)
        except BaseException:  # on an interrupt too: nothing else closes the connection
            if connection.is_open:
                connection.close()
            raise
    except DRIVER_ERRORS as exc:
        raise explain(settings, exc) from exc
    return connection


def declare(channel: BlockingChannel) -> None:
    """Declare the missing queues, durable and replicated.

    An existing queue is used as it is: a user without permission to declare can use it, and the
    arguments of one that an older version declared can't be changed.
    """
    for queue in _missing(channel.connection):
        arguments = DEAD_ARGUMENTS if queue == DEAD_QUEUE else QUEUE_ARGUMENTS
        channel.queue_declare(queue, durable=True, arguments=arguments)


def _missing(connection: pika.BlockingConnection) -> list[str]:
    names, missing = [DEAD_QUEUE, *LANES, GPU_QUEUE], []
    while names:
        try:
            with _silent_driver(), connection.channel() as asking:
                while names:
                    asking.queue_declare(names[0], passive=True)
                    del names[0]
        except (
            pika.exceptions.ChannelClosedByBroker
        ) as exc:  # the broker answers "no such queue" by closing the channel
            if exc.reply_code != _NOT_FOUND:
                raise
            missing.append(names.pop(0))
    return missing


@contextmanager
def _silent_driver() -> Iterator[None]:
    """Keep pika from warning of a channel that the broker closes, which is an answer here."""
    driver = logging.getLogger("pika.channel")
    before, driver.disabled = driver.disabled, True
    try:
        yield
    finally:
        driver.disabled = before


def database_of(properties: pika.BasicProperties) -> tuple[str | None, str]:
    """Return the database id in a message, or None, and that database's URL if it can be shown."""
    headers = properties.headers or {}
    database, url = headers.get(DATABASE_HEADER), headers.get(URL_HEADER)
    if not isinstance(database, str) or not re.fullmatch("[0-9a-f]{32}", database):
        return None, ""
    return database, url if isinstance(url, str) and url.isprintable() and len(url) <= _LONGEST_URL else ""


def signature_of(properties: pika.BasicProperties) -> str | None:
    """Return the signature of a message, if it can be one."""
    found = (properties.headers or {}).get(SIGNATURE_HEADER)
    return found if isinstance(found, str) and len(found) <= _LONGEST_SIGNATURE else None


def copied(properties: pika.BasicProperties, **headers: Any) -> pika.BasicProperties:
    """Return the properties for a copy of a message, with further headers.

    Only our own headers are copied, because they are short: others may come from anyone.
    """
    database, url = database_of(properties)
    own = {} if database is None else {DATABASE_HEADER: database, URL_HEADER: url}
    if (signature := signature_of(properties)) is not None:
        own[SIGNATURE_HEADER] = signature
    return pika.BasicProperties(
        delivery_mode=2,
        content_type=_JSON,
        priority=properties.priority,
        message_id=properties.message_id,
        headers=own | headers,
    )


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message in ``chunks.dead``.

    Attributes
    ----------
    body : bytes
        Its content.
    database : str or None
        The id of its database, if it names one.
    reason : str
        Why it is a dead letter.
    noted : bool
        Whether a worker put it there, and noted it in its study.
    """

    body: bytes
    database: str | None
    reason: str
    noted: bool


def dead_letters(channel: BlockingChannel) -> Iterator[DeadLetter]:
    """Read each dead letter once.

    All are back in their queue, in their order, when this ends for any reason.
    """
    with channel.connection.channel() as reading:
        reading.confirm_delivery()
        left, size = 1, 0
        for number in range(_MOST_READ):
            method, properties, body = reading.basic_get(DEAD_QUEUE) if left else (None, None, b"")
            if method is None or properties is None:
                break
            # Copies of earlier ones are behind them.
            left = left - 1 if number else method.message_count
            headers = dict(properties.headers or {})
            noted = headers.get(REASON_HEADER)
            reason = str(noted) if noted else _death(headers.get("x-death"))
            yield DeadLetter(body=body, database=database_of(properties)[0], reason=reason, noted=bool(noted))
            returns = headers.pop("x-delivery-count", 0)
            if isinstance(returns, int) and returns >= _MOST_RETURNS:
                properties.headers, properties.delivery_mode = headers, 2
                reading.basic_publish("", DEAD_QUEUE, body, properties, mandatory=True)
                reading.basic_ack(method.delivery_tag)
            elif (size := size + len(body)) > _MOST_BYTES:
                break
        reading.basic_nack(0, multiple=True, requeue=True)


def _death(deaths: object) -> str:
    """Return why the broker dead-lettered a message, from its header ``x-death``."""
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(last, dict) or "reason" not in last:
        return f"a person or another program put it into {DEAD_QUEUE}"
    why = _DEATHS.get(str(last["reason"]), f"its reason is {plain(str(last['reason']))}")
    queue = last.get("queue")
    return f"RabbitMQ took it from {queue if queue in {*LANES, GPU_QUEUE} else 'a queue'}: {why}"


def explain(settings: Settings, exc: BaseException) -> BrokerError:
    """Return a readable error for a driver's exception, without the password."""
    where = f"RabbitMQ at {redact(settings.amqp_url)}"
    if limit := _LIMIT.search(str(exc)):
        return BrokerError(
            f"{where} has reached a limit: {limit[1]}. Close unused connections, or raise the limit "
            "(rabbitmqctl set_vhost_limits or set_user_limits)"
        )
    match exc:
        case BrokerError():  # readable already; it is an OSError too
            return BrokerError(str(exc))
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.AuthenticationError():
            return BrokerError(f"{where} refused the user or password: check AMQP_URL")
        case pika.exceptions.ProbableAccessDeniedError() if "not found" in str(exc):
            return BrokerError(f"{where} has no such virtual host: check the path of AMQP_URL (%2F is the default)")
        case pika.exceptions.ProbableAccessDeniedError():
            return BrokerError(
                f"{where} refused the virtual host to this user: check the path of AMQP_URL (%2F is the "
                "default), or grant access (rabbitmqctl set_permissions)"
            )
        case pika.exceptions.ChannelClosedByBroker(reply_code=403, reply_text=text):
            return BrokerError(
                f"{where} refused an operation to this user ({text.partition(' - ')[2]}): grant the user "
                "configure, write and read (rabbitmqctl set_permissions)"
            )
        case pika.exceptions.ChannelClosedByBroker(reply_code=code, reply_text=text):
            return BrokerError(f"{where} refused ({code}): {text}")
        case pika.exceptions.IncompatibleProtocolError() if not settings.amqp_url.lower().startswith("amqps:"):
            return BrokerError(
                f"{where} closed the connection before AMQP began: it is starting or stopping, or this is "
                "its port for TLS, which needs amqps://"
            )
    if advice := tls.advice(exc, settings):
        return BrokerError(f"{where}: {advice}")
    return BrokerError(
        f"{where} can't be reached ({type(exc).__name__}): is it running, and is AMQP_URL right? "
        "On a laptop, `warren up` or local_stack() starts one"
    )


# What pika raises when a broker is unreachable, refuses or disconnects. gaierror and timeouts are
# OSErrors; a broker that accepts a connection but does not answer has an error of its own.
DRIVER_ERRORS = (pika.exceptions.AMQPError, OSError, AMQPConnectorException)


@contextmanager
def channel(settings: Settings, connection_name: str = "warren") -> Iterator[BlockingChannel]:
    """Open a connection and a channel for a short task; every queue is declared.

    Parameters
    ----------
    settings : Settings
        The broker's URL.
    connection_name : str, default="warren"
        The name on RabbitMQ's management page.

    Yields
    ------
    pika.adapters.blocking_connection.BlockingChannel
        The channel.

    Raises
    ------
    BrokerError
        The broker is unreachable, refuses, or disconnects meanwhile.
    """
    connection = connect(settings, connection_name)
    try:
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()
    except DRIVER_ERRORS as exc:
        raise explain(settings, exc) from exc


def check(settings: Settings) -> None:
    """Raise `BrokerError` unless the broker answers and has our queues."""
    with channel(settings, "warren check"):
        pass


def ping(amqp_url: str, timeout: float) -> None:
    """Raise `BrokerError` unless a RabbitMQ answers at `amqp_url` within `timeout` seconds."""
    check(Settings(AMQP_URL=amqp_url, WARREN_CONNECT_SECONDS=timeout))
