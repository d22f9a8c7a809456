"""Passwords are in no error, whatever is wrong with a URL or a server."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pika.exceptions
import pymongo.errors
import pytest

from producer.stack.broker import start_broker
from producer.stack.database import start_database
from producer.stack.providers import Site
from warren import broker
from warren.errors import StackError, WarrenError
from warren.settings import Settings, load_settings
from warren.storage.mongo import explain
from warren.storage.store import ping

# With what a URL must quote, and once quoted, as users write it.
SECRETS = ("s3cret", "s3%40cret", "s3/cret", "s3?cret", "s3@cret", "s3#cret", "s3:cret")


def parts(secret: str) -> set[str]:
    """Return what may not be said: a driver may cut a password that is not quoted in two."""
    return {secret, secret.replace("%40", "@")} | {part for part in ("cret",) if part in secret}


def says_nothing(secret: str, call: Callable[[], object]) -> None:
    with pytest.raises(WarrenError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value))
    # The lines of code that a traceback shows are ours, and this file's.
    said = [line for line in shown.splitlines() if not line.startswith(("    ", "  File"))]
    for part in parts(secret):
        assert not any(part in line for line in said), said


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "url",
    [
        "amqp://ann:SECRET@127.0.0.1:1/%2F",
        "amqps://ann:SECRET@127.0.0.1:1/%2F",
        "amqp://ann:SECRET@127.0.0.1:port/%2F",
        "http://ann:SECRET@127.0.0.1:1/%2F",
        "amqp://127.0.0.1:1/%2F?password=SECRET",
        "amqps://127.0.0.1:1/?ssl_options={'certfile':'/x','password':'SECRET'}",
    ],
)
def test_a_broker_s_password_is_in_no_error(secret: str, url: str) -> None:
    says_nothing(secret, lambda: broker.ping(url.replace("SECRET", secret), 0.1))


@pytest.mark.filterwarnings("ignore:authmechanism must be")
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "url",
    [
        "mongodb://ann:SECRET@127.0.0.1:1/tuning",
        "mongodb://ann:SECRET@127.0.0.1:1",
        "mongodb://ann:SECRET@127.0.0.1:port/tuning",
        "mongodb://ann:SECRET@127.0.0.1:1/tuning?authMechanism=NOPE",
        "mongodb://127.0.0.1:1/tuning?tls=true&tlsCertificateKeyFile=/nowhere&tlsCertificateKeyFilePassword=SECRET",
        "ann:SECRET@127.0.0.1:1/tuning",
    ],
)
def test_a_database_s_password_is_in_no_error(secret: str, url: str) -> None:
    says_nothing(secret, lambda: ping(url.replace("SECRET", secret), 0.05))


def test_a_stack_on_servers_that_are_not_there_says_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.stack.database.PING_SECONDS", 0.05)
    site = Site(folder=tmp_path, temporary=True, log=lambda _: None)
    for start, variable, url in (
        (start_broker, "AMQP_URL", "amqp://ann:s3cret@127.0.0.1:1/%2F"),
        (start_database, "MONGO_URL", "mongodb://ann:s3cret@127.0.0.1:1/tuning"),
    ):
        with pytest.raises(StackError, match=rf"^{variable} is set: .*ann:\*\*\*@127") as caught:
            start(site, {variable: url})
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "exc",
    [
        pika.exceptions.ProbableAuthenticationError("(403, 'ACCESS_REFUSED - Login was refused')"),
        pika.exceptions.ProbableAccessDeniedError("(530, 'NOT_ALLOWED')"),
        pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - inequivalent arg"),
        pika.exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"),
        pika.exceptions.IncompatibleProtocolError("StreamLostError"),
        pika.exceptions.StreamLostError("Transport indicated EOF"),
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        broker.BrokerError("said already"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_fault_of_the_broker_is_explained_without_the_password(exc: BaseException) -> None:
    for url in ("amqp://ann:s3cret@h/%2F", "amqps://ann:s3cret@h/%2F"):
        assert "s3cret" not in str(broker.explain(Settings(AMQP_URL=url), exc))


@pytest.mark.parametrize(
    "exc",
    [
        pymongo.errors.OperationFailure("Authentication failed.", 18),
        pymongo.errors.OperationFailure("not authorized", 13),
        pymongo.errors.ServerSelectionTimeoutError("h:27017: [Errno 111] Connection refused"),
        pymongo.errors.AutoReconnect("connection closed"),
        pymongo.errors.WriteError("Document failed validation", 121),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_fault_of_the_database_is_explained_without_the_password(exc: pymongo.errors.PyMongoError) -> None:
    settings = Settings(MONGO_URL="mongodb://ann:s3cret@127.0.0.1:1/tuning?authSource=admin")
    assert "s3cret" not in str(explain(settings, exc))
    assert "ann:***@127.0.0.1" in str(explain(settings, exc))


def test_settings_that_can_not_be_read_repeat_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://ann:s3cret@h")
    monkeypatch.setenv("WARREN_THREADS", "s3cret")
    says_nothing("s3cret", load_settings)
