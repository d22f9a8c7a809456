"""URLs of servers that can't be meant: refused with what is wrong with them, and never with
the password."""

from __future__ import annotations

import re

import pytest

from warren import broker
from warren.errors import BrokerError, InputError
from warren.settings import Settings, redact
from warren.storage.store import Store
from warren.urls import problem_of

ESCAPED = "/, ?, # and @ in a user, a password or a name must be written %2F, %3F, %23 and %40"
ENDS = "it begins or ends with a space or a line break"
QUOTES = "it is in quotes, which no shell has removed"
PORT = "its port is not a number from 1 to 65535"
NO_AMQP = "it does not begin with amqp:// or amqps://"
NO_MONGO = "it does not begin with mongodb:// or mongodb+srv://"

AMQP = [
    ("localhost:5672", NO_AMQP),
    ("localhost", NO_AMQP),
    ("", NO_AMQP),
    ("//guest:s3cret@localhost:5672/%2F", NO_AMQP),
    ("ann:s3cret@rabbit:5672/%2F", NO_AMQP),
    ("http://ann:s3cret@rabbit:5672/%2F", NO_AMQP),
    ("amqp:ann:s3cret@rabbit:5672/%2F", NO_AMQP),
    ('"amqp://ann:s3cret@rabbit:5672/%2F"', QUOTES),
    ("'amqp://ann:s3cret@rabbit:5672/%2F'", QUOTES),
    ("amqp://ann:s3cret@rabbit:5672/%2F'", QUOTES),
    ("amqp://ann:s3cret@rabbit:5672/%2F\n", ENDS),
    ("amqp://ann:s3cret@rabbit:5672/%2F\r\n", ENDS),
    (" amqp://ann:s3cret@rabbit:5672/%2F", ENDS),
    ("amqp://ann:s3cret@rabbit:5672/%2F\u00a0", ENDS),
    ("amqp://ann:s3c\nret@rabbit:5672/%2F", "it contains a line break or another control character"),
    ("amqp://ann:s3/cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:12/s3cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:s3#cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:12#s3cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:s3?cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:12?s3cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:s3@cret@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:s3@cr/et@rabbit:5672/%2F", ESCAPED),
    ("amqp://ann:s3cret@rabbit:5672/a@b", ESCAPED),
    ("amqp://ann:s3%cret@rabbit:5672/%2F", "a % in a user, a password or a name must be written %25"),
    ("amqp://ann:s3cret@rabbit:5672//", "a / in the name of a virtual host must be written %2F, and %2F alone"),
    ("amqp://ann:s3cret@rabbit:5672/a/b", "a / in the name of a virtual host must be written %2F, and %2F alone"),
    ("amqp://ann@rabbit:5672/%2F", "it has a user but no password"),
    ("amqp://ann:s3cret@rabbit:port/%2F", PORT),
    ("amqp://ann:s3cret@rabbit:0/%2F", PORT),
    ("amqp://ann:s3cret@rabbit:65536/%2F", PORT),
    ("amqp://ann:s3cret@rabbit:/%2F", PORT),
    ("amqp://ann:s3cret@rabbit:-1/%2F", PORT),
    ("amqp://ann:s3cret@rabbit:٥٦٧٢/%2F", PORT),
    ("amqp://ann:s3cret", PORT),  # the host is lost
    ("amqp://ann:s3cret@/%2F", "it names no host"),
    ("amqp:///%2F", "it names no host"),
    ("amqp://ann:s3cret@::1:5672/%2F", "an IPv6 address must be in brackets"),
    ("amqp://ann:s3cret@one:5672,two:5672/%2F", "it names several hosts, but only one is allowed"),
]
MONGO = [
    ("db:27017/tuning", NO_MONGO),
    ("ann:s3cret@db:27017/tuning", NO_MONGO),
    ('"mongodb://ann:s3cret@db/tuning"', QUOTES),
    ("mongodb://ann:s3cret@db/tuning\n", ENDS),
    ("mongodb://ann:s3cret@db/tuning?authSource=admin ", ENDS),
    ("mongodb://ann:s3/cret@db/tuning", ESCAPED),
    ("mongodb://ann:s3?cret@db/tuning", ESCAPED),
    ("mongodb://ann:s3#cret@db/tuning", ESCAPED),
    ("mongodb://ann:s3@cret@db/tuning", ESCAPED),
    ("mongodb://ann:s3:cret@db/tuning", "a : in a user or a password must be written %3A"),
    ("mongodb://ann:s3%cret@db/tuning", "a % in a user, a password or a name must be written %25"),
    ("mongodb://ann:s3cret@db:port/tuning", PORT),
    ("mongodb://ann:s3cret@one:27017,two:999999/tuning", PORT),
    ("mongodb+srv://ann:s3cret@db.example.com:27017/tuning", "mongodb+srv:// takes no port"),
    ("mongodb://ann:s3cret@/tuning", "it names no host"),
    ("mongodb://ann:s3cret@one,/tuning", "it names no host"),
    ("mongodb://ann:s3cret@db", "it names no database, such as /tuning after the host"),
    ("mongodb://ann:s3cret@db/?replicaSet=rs0", "it names no database, such as /tuning after the host"),
    ("mongodb://ann:s3cret@db/tuning?tlsCAFile=/no/such.pem", "its option tlscafile names the file '/no/such.pem'"),
    ("mongodb://ann:s3cret@db/tuning?tls=True", "perhaps because of an option after its ?"),
    ("mongodb://ann:s3cret@db/my tuning", "the name of a database can't contain ' '"),
    ("mongodb://ann:s3cret@db/my%20tuning", "the name of a database can't contain ' '"),
    ("mongodb://ann:s3cret@db/tuning.trials", "the name of a database can't contain '.'"),
    ("mongodb://ann:s3cret@db/tuning/", "the name of a database can't contain '/'"),
]


@pytest.mark.parametrize(("url", "problem"), AMQP, ids=repr)
def test_a_broker_s_url_that_can_not_be_meant_is_refused(url: str, problem: str) -> None:
    with pytest.raises(BrokerError) as caught:
        broker.parameters(Settings(AMQP_URL=url), "test")
    said = str(caught.value)
    assert said.startswith(f"AMQP_URL {redact(url)!r} can't be read: {problem}")
    assert said.endswith("write amqp://user:password@host:5672/%2F, or amqps:// and port 5671 for TLS")
    assert not re.search("s3|cret", said)


@pytest.mark.parametrize(("url", "problem"), MONGO, ids=repr)
def test_a_database_s_url_that_can_not_be_meant_is_refused(url: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Store(Settings(MONGO_URL=url))
    said = str(caught.value)
    assert said.startswith(f"MONGO_URL {redact(url)!r} can't be used")
    assert problem in said
    assert said.endswith("write mongodb://user:password@host:27017/tuning")
    assert not re.search("s3|cret", said)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://guest:guest@localhost:5672/%2F",
        "AMQP://ann:s3cret@Rabbit",
        "amqp://rabbit",
        "amqp://rabbit/",
        "amqps://ann:s3%2Fcr%40et@rabbit:5671/team%2Fa?heartbeat=30",
        "amqp://ann:s3:cret@rabbit:5672/my vhost",
        "amqp://ann:@[::1]:5672/%2F",
        "amqps://ann:s3cret@rabbit/?ssl_options={'certfile': '/x', 'password': 'a@b'}",
    ],
)
def test_a_broker_s_url_that_can_be_meant_is_taken(url: str) -> None:
    assert problem_of(url, "amqp", "amqps") is None


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://localhost:27017/tuning",
        "mongodb://ann:s3%3Acret@one:27017,two:27018,[::1]:27019/tuning?replicaSet=rs0",
        "mongodb://CN%3Dann@db/tuning?authMechanism=MONGODB-X509",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/tuning",
        "mongodb+srv://ann:s3cret@cluster.example.com/tuning?appName=Cluster0",
        "mongodb://ann:czNjcmV0==@ann.mongo.cosmos.azure.com:10255/tuning?ssl=true&appName=@ann@",
    ],
)
def test_a_database_s_url_that_can_be_meant_is_taken(url: str) -> None:
    assert problem_of(url, "mongodb", "mongodb+srv") is None


def refusal(url: str) -> str:
    """What is said of a broker's URL; nothing where it is taken."""
    try:
        broker.parameters(Settings(AMQP_URL=url), "test")
    except BrokerError as exc:
        return str(exc)
    return ""


def test_a_broker_url_with_an_odd_character_is_read_or_refused() -> None:
    whole = "amqp://ann:s3cret@[::1]:5672/a%2Fb?heartbeat=30"
    # Where the first colon is gone there is no password, but a user with a long name.
    for position in set(range(len(whole))) - {whole.index(":s3")}:
        for odd in ("", "@", ":", "/", "#", "?", "%", "[", "\x00", "\ud800", "é"):
            assert "s3cret" not in refusal(whole[:position] + odd + whole[position + 1 :])
