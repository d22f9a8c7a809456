"""RabbitMQ: where it is, what queues there are, how to say that it is not there.

Both sides declare the same topology from here.
"""

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

# A chunk may be delivered this often before the broker itself dead-letters it. Evictions count here
# (before RabbitMQ 4.3 every requeue does), and a trial's guilt is counted apart, so it only stops a
# message that kills each of its workers at once. RabbitMQ 4 would set 20 by itself.
DELIVERY_LIMIT = 200

# Milliseconds that a chunk may stay unacknowledged: a day. RabbitMQ's own 30 minutes would take a
# long chunk from a worker that is still at it. Honoured as a queue argument from 3.12.
CONSUMER_TIMEOUT_MS = 24 * 3600 * 1000

QUEUE_ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-consumer-timeout": CONSUMER_TIMEOUT_MS,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
}
# What lies here has nowhere else to go: RabbitMQ 4 would drop what was looked at, and given back, 20 times.
DEAD_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}

# Headers of a message: the database that its study lies in (`warren.storage.database_id`) and that database's URL
# without its password; who has signed it (`warren.safety.signing`); why it is among the dead letters; and that somebody
# had it before, which the broker does not say of a copy.
DATABASE_HEADER = "x-warren-database"
URL_HEADER = "x-warren-database-url"
SIGNATURE_HEADER = "x-warren-signature"
REASON_HEADER = "x-warren-reason"
AGAIN_HEADER = "x-warren-again"
_LONGEST_URL = 300
_LONGEST_SIGNATURE = 200
_JSON = "application/json"
# Dead letters that are read in one go, and bytes of them: they are in memory meanwhile.
_MOST_READ = 5_000
_MOST_BYTES = 64 * 2**20
# One that came back so often is published afresh instead of given back: RabbitMQ 4 drops it after 20 returns where the
# queue was declared by an earlier version of ours, without a limit of its own.
_MOST_RETURNS = 10
# Why RabbitMQ moves a message among the dead letters (https://www.rabbitmq.com/docs/dlx).
_DEATHS = {
    "maxlen": "its queue was full (max-length)",
    "expired": "it waited longer than it may (message-ttl)",
    "delivery_limit": "it was given back more often than it may (delivery-limit)",
    "rejected": "somebody rejected it",
}
_NOT_FOUND = 404

# Brokers without a server, by the URL that stands for them: `warren.testing` puts them here.
IN_MEMORY: dict[str, Any] = {}

# How RabbitMQ words that a limit on connections, channels or queues is reached; it names user and virtual host.
_LIMIT = re.compile(r"(?:NOT_ALLOWED|PRECONDITION_FAILED) - ([^\n]*\blimit\b[^\n]*\(\d+\)(?: is reached)?)")


def parameters(settings: Settings, connection_name: str) -> pika.URLParameters:
    """Return pika's connection parameters.

    Parameters
    ----------
    settings : Settings
        Names the broker and the waiting times.
    connection_name : str
        What the management page shows.

    Returns
    -------
    pika.URLParameters
        One attempt: who retries, and how long, is the caller's to say. With amqps://, certificate and host name are
        verified.

    Raises
    ------
    BrokerError
        The URL can't be read, or switches verification off; the file of authorities can't be read.
    """
    url = redact(settings.amqp_url)
    written = "write amqp://user:password@host:5672/%2F, or amqps:// and port 5671 for TLS"
    if problem := problem_of(settings.amqp_url, "amqp", "amqps"):
        raise BrokerError(f"AMQP_URL {url!r} can't be read: {problem}. So {written}")
    try:
        found = pika.URLParameters(settings.amqp_url)
        if found.ssl_options is not None:
            # Named in the URL itself: pika's way to client certificates and to authorities of one broker alone.
            if "ssl_options" not in urlsplit(settings.amqp_url).query:
                found.ssl_options = pika.SSLOptions(tls.context(settings))
            tls.check_verifies(found.ssl_options.context)
    except InputError as exc:
        raise BrokerError(f"RabbitMQ at {url}: {exc}") from None
    except (ValueError, TypeError, KeyError, SyntaxError, OSError):
        # Without its cause: that repeats parts of the URL, and a traceback is shown in a notebook.
        raise BrokerError(f"AMQP_URL {url!r} can't be read, perhaps for an option behind its ?: {written}") from None
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
        Names the broker.
    connection_name : str
        What the management page shows.

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
        except BaseException:  # an interrupt too: nobody else closes the connection
            if connection.is_open:
                connection.close()
            raise
    except DRIVER_ERRORS as exc:
        raise explain(settings, exc) from exc
    return connection


def declare(channel: BlockingChannel) -> None:
    """Declare the queues that are missing, durable and replicated.

    One that is there is used as it is: a user who may not declare does with those, and what an older version of ours
    declared with other arguments can't be changed.
    """
    for queue in _missing(channel.connection):
        arguments = DEAD_ARGUMENTS if queue == DEAD_QUEUE else QUEUE_ARGUMENTS
        channel.queue_declare(queue, durable=True, arguments=arguments)


def _missing(connection: pika.BlockingConnection) -> list[str]:
    asked, missing = [DEAD_QUEUE, *LANES, GPU_QUEUE], []
    while asked:
        try:
            with _silent_driver(), connection.channel() as asking:
                while asked:
                    asking.queue_declare(asked[0], passive=True)
                    del asked[0]
        except pika.exceptions.ChannelClosedByBroker as exc:  # an answer of no closes it
            if exc.reply_code != _NOT_FOUND:
                raise
            missing.append(asked.pop(0))
    return missing


@contextmanager
def _silent_driver() -> Iterator[None]:
    """Keep pika from warning of a channel that the broker closes: that is an answer."""
    driver = logging.getLogger("pika.channel")
    before, driver.disabled = driver.disabled, True
    try:
        yield
    finally:
        driver.disabled = before


def database_of(properties: pika.BasicProperties) -> tuple[str | None, str]:
    """Return the id of the database that a message names, or None, and its URL as far as it can be shown."""
    headers = properties.headers or {}
    database, url = headers.get(DATABASE_HEADER), headers.get(URL_HEADER)
    if not isinstance(database, str) or not re.fullmatch("[0-9a-f]{32}", database):
        return None, ""
    return database, url if isinstance(url, str) and url.isprintable() and len(url) <= _LONGEST_URL else ""


def signature_of(properties: pika.BasicProperties) -> str | None:
    """Return the signature that a message has, if it may be one."""
    found = (properties.headers or {}).get(SIGNATURE_HEADER)
    return found if isinstance(found, str) and len(found) <= _LONGEST_SIGNATURE else None


def copied(properties: pika.BasicProperties, **headers: Any) -> pika.BasicProperties:
    """Return the properties of a fresh copy of a message: what it says of itself, and further headers.

    Of a message's headers only ours are copied, which are short: anybody may have written the others.
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
    """What lies in ``chunks.dead``.

    Attributes
    ----------
    body : bytes
    database : str or None
        The id of the database that it belongs to, if it says so.
    reason : str
        Why it lies there.
    told : bool
        Whether a worker put it there, which has told its study.
    """

    body: bytes
    database: str | None
    reason: str
    told: bool


def dead_letters(channel: BlockingChannel) -> Iterator[DeadLetter]:
    """Read the dead letters, each once; they are there again, in their order, when this ends, however it does."""
    with channel.connection.channel() as reading:
        reading.confirm_delivery()
        left, size = 1, 0
        for number in range(_MOST_READ):
            method, properties, body = reading.basic_get(DEAD_QUEUE) if left else (None, None, b"")
            if method is None or properties is None:
                break
            # Copies of those before lie behind them.
            left = left - 1 if number else method.message_count
            headers = dict(properties.headers or {})
            told = headers.get(REASON_HEADER)
            reason = str(told) if told else _death(headers.get("x-death"))
            yield DeadLetter(body=body, database=database_of(properties)[0], reason=reason, told=bool(told))
            returns = headers.pop("x-delivery-count", 0)
            if isinstance(returns, int) and returns >= _MOST_RETURNS:
                properties.headers, properties.delivery_mode = headers, 2
                reading.basic_publish("", DEAD_QUEUE, body, properties, mandatory=True)
                reading.basic_ack(method.delivery_tag)
            elif (size := size + len(body)) > _MOST_BYTES:
                break
        reading.basic_nack(0, multiple=True, requeue=True)


def _death(deaths: object) -> str:
    """Say why the broker set a message aside, by its header ``x-death``."""
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(last, dict) or "reason" not in last:
        return f"somebody put it into {DEAD_QUEUE}"
    why = _DEATHS.get(str(last["reason"]), f"its reason is {plain(str(last['reason']))}")
    queue = last.get("queue")
    return f"RabbitMQ took it from {queue if queue in {*LANES, GPU_QUEUE} else 'a queue'}: {why}"


def explain(settings: Settings, exc: BaseException) -> BrokerError:
    """Return the error that a person reads for a driver's exception, without the password."""
    where = f"RabbitMQ at {redact(settings.amqp_url)}"
    if limit := _LIMIT.search(str(exc)):
        return BrokerError(
            f"{where} takes no more: {limit[1]}. End connections that nobody needs, or raise the limit "
            "(rabbitmqctl set_vhost_limits or set_user_limits)"
        )
    match exc:
        case BrokerError():  # said already; it is an OSError too
            return BrokerError(str(exc))
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.AuthenticationError():
            return BrokerError(f"{where} refused the user or password: check AMQP_URL")
        case pika.exceptions.ProbableAccessDeniedError() if "not found" in str(exc):
            return BrokerError(f"{where} has no such virtual host: check the path of AMQP_URL (%2F is the default)")
        case pika.exceptions.ProbableAccessDeniedError():
            return BrokerError(
                f"{where} knows the user, who may not use the virtual host: check the path of AMQP_URL (%2F is the "
                "default), or grant it (rabbitmqctl set_permissions)"
            )
        case pika.exceptions.ChannelClosedByBroker(reply_code=403, reply_text=text):
            return BrokerError(
                f"{where} knows the user, who may not do all that is needed ({text.partition(' - ')[2]}): grant it "
                "configure, write and read (rabbitmqctl set_permissions)"
            )
        case pika.exceptions.ChannelClosedByBroker(reply_code=code, reply_text=text):
            return BrokerError(f"{where} refused ({code}): {text}")
        case pika.exceptions.IncompatibleProtocolError() if not settings.amqp_url.lower().startswith("amqps:"):
            return BrokerError(
                f"{where} closed the connection before it spoke AMQP: it is starting or stopping, or that is "
                "its port for TLS, which needs amqps://"
            )
    if advice := tls.advice(exc, settings):
        return BrokerError(f"{where}: {advice}")
    return BrokerError(
        f"{where} can't be reached ({type(exc).__name__}): is it running, and is AMQP_URL right? "
        "On a laptop, `warren up` or local_stack() starts one"
    )


# What pika raises when a broker is not there, refuses or goes away; gaierror and timeouts are OSErrors, and one that
# takes a connection and then says nothing has an error of its own.
DRIVER_ERRORS = (pika.exceptions.AMQPError, OSError, AMQPConnectorException)


@contextmanager
def channel(settings: Settings, connection_name: str = "warren") -> Iterator[BlockingChannel]:
    """Open a connection and a channel with every queue declared, for a short errand.

    Parameters
    ----------
    settings : Settings
        Names the broker.
    connection_name : str, default="warren"
        What the management page shows.

    Yields
    ------
    pika.adapters.blocking_connection.BlockingChannel

    Raises
    ------
    BrokerError
        The broker is unreachable, refuses, or goes away meanwhile.
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
    """Raise `BrokerError` unless the broker answers and takes our queues."""
    with channel(settings, "warren check"):
        pass


def ping(amqp_url: str, timeout: float) -> None:
    """Raise `BrokerError` unless a RabbitMQ answers at `amqp_url` within `timeout` seconds."""
    check(Settings(AMQP_URL=amqp_url, WARREN_CONNECT_SECONDS=timeout))
