"""Settings: one place, one reading, and no secret said aloud."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from pydantic import ValidationError

from warren.errors import InputError
from warren.host import available_threads
from warren.settings import Settings, load_settings, redact

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in {"AMQP_URL", "MONGO_URL"} or name.upper().startswith("WARREN_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_variable_a_description_and_a_default(name: str) -> None:
    field = FIELDS[name]
    assert field.alias == (name.upper() if name in {"amqp_url", "mongo_url"} else f"WARREN_{name.upper()}")
    assert not field.is_required()
    assert field.description
    assert len(field.description) > 20
    assert field.description.endswith(".")


@pytest.mark.parametrize(("ending", "unit"), [("_seconds", "Seconds"), ("_bytes", "Bytes"), ("threads", "Threads")])
def test_a_setting_says_its_unit(ending: str, unit: str) -> None:
    found = [field.description or "" for name, field in FIELDS.items() if name.endswith(ending)]
    assert found
    assert all(description.startswith(unit) for description in found)


def test_defaults_are_those_of_fresh_servers_on_this_machine() -> None:
    found = load_settings()
    assert found.amqp_url == "amqp://guest:guest@localhost:5672/%2F"
    assert found.mongo_url == "mongodb://localhost:27017/tuning"
    assert found.threads == available_threads()
    assert found.worker_name == f"{socket.gethostname()}-{os.getpid()}"
    assert found.allow == ()
    assert found.flush_seconds <= 1


GOOD: dict[str, tuple[str, Any]] = {
    "AMQP_URL": ("amqps://u:p@h/v", "amqps://u:p@h/v"),
    "MONGO_URL": ("mongodb://h/d", "mongodb://h/d"),
    "WARREN_KEY": (f"{'k1' * 16}, {'k2' * 16}\n", ("k1" * 16, "k2" * 16)),
    "WARREN_HTTP_NAMES": ("a.example, b", ("a.example", "b")),
    "WARREN_CA_FILE": ("/etc/ca.pem", "/etc/ca.pem"),
    "WARREN_CONNECT_SECONDS": ("0.5", 0.5),
    "WARREN_HEARTBEAT_SECONDS": ("5", 5),
    "WARREN_BLOCKED_SECONDS": ("1", 1.0),
    "WARREN_PATIENCE_SECONDS": ("2", 2.0),
    "WARREN_THREADS": ("3", 3),
    "WARREN_DEVICE": ("gpu", "gpu"),
    "WARREN_CHECKPOINTS": ("gs://bucket/path", "gs://bucket/path"),
    "WARREN_CHECKPOINT_SECONDS": ("0", 0.0),
    "WARREN_FLUSH_SECONDS": ("1", 1.0),
    "WARREN_GRACE_SECONDS": ("0", 0.0),
    "WARREN_MAX_ATTEMPTS": ("1", 1),
    "WARREN_CACHE_BYTES": ("0", 0),
    "WARREN_ALLOW": (" a.B, c.D ,,", ("a.B", "c.D")),
    "WARREN_PATH": (":/a/b/../c:: /d", ("/a/c", "/d")),
    "WARREN_WORKER_NAME": ("w", "w"),
    "WARREN_TRIAL_MEMORY_BYTES": ("1000", 1000),
    "WARREN_TRIAL_SECONDS": ("60", 60.0),
    "WARREN_MAX_LOST_WORKERS": ("2", 2),
    "WARREN_LOG_LEVEL": ("DEBUG", "DEBUG"),
    "WARREN_LOG_FORMAT": ("json", "json"),
    "WARREN_HTTP_PORT": ("0", 0),
    "WARREN_HTTP_HOST": ("0.0.0.0", "0.0.0.0"),
}


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(GOOD) == {field.alias for field in FIELDS.values()}
    for variable, (text, _) in GOOD.items():
        monkeypatch.setenv(variable, text)
    found = load_settings()
    for name, field in FIELDS.items():
        assert getattr(found, name) == GOOD[str(field.alias)][1], name


BAD = [
    *(("WARREN_KEY", key) for key in ("s3cret", "s3cret" * 5, f"{'s3cret' * 6}!", "/no/s3cret", ",", "~/s3cret", "/")),
    ("WARREN_CONNECT_SECONDS", "0"),
    ("WARREN_CONNECT_SECONDS", "soon-s3cret"),
    ("WARREN_HEARTBEAT_SECONDS", "4"),
    ("WARREN_HEARTBEAT_SECONDS", "s3cret"),
    ("WARREN_BLOCKED_SECONDS", "-1"),
    ("WARREN_THREADS", "0"),
    ("WARREN_THREADS", "1.5"),
    ("WARREN_THREADS", "s3cret"),
    ("WARREN_THREADS", ""),
    ("WARREN_DEVICE", "cuda"),
    *(
        ("WARREN_CHECKPOINTS", address)
        for address in (
            *(
                "s3cret",
                "./s3cret",
                "gs:/s3cret/path",
                "gs://",
                "s3:///path",
                "file://s3cret",
                "mock://s3cret",
                "/",
                "//",
            ),
            *("https://s3cret@host/path", "~no-such-user-s3cret/path"),
        )
    ),
    ("WARREN_CHECKPOINT_SECONDS", "-1"),
    ("WARREN_FLUSH_SECONDS", "1.01"),
    ("WARREN_FLUSH_SECONDS", "0"),
    ("WARREN_GRACE_SECONDS", "-0.1"),
    ("WARREN_MAX_ATTEMPTS", "0"),
    ("WARREN_CACHE_BYTES", "-1"),
    ("WARREN_CACHE_BYTES", "2GiB-s3cret"),
    ("WARREN_WORKER_NAME", ""),
    ("WARREN_TRIAL_MEMORY_BYTES", "0"),
    ("WARREN_TRIAL_SECONDS", "0"),
    ("WARREN_MAX_LOST_WORKERS", "0"),
    ("WARREN_LOG_LEVEL", "s3cret"),
    ("WARREN_LOG_LEVEL", "debug"),
    ("WARREN_LOG_FORMAT", "s3cret"),
    ("WARREN_HTTP_PORT", "-1"),
    ("WARREN_HTTP_PORT", "65536"),
    ("WARREN_HTTP_PORT", "s3cret"),
    ("WARREN_HTTP_HOST", ""),
]


@pytest.mark.parametrize(("variable", "text"), BAD)
def test_a_bad_value_is_refused_by_its_variable_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(InputError, match=f"^a setting in the environment can't be used: {variable}: ") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__  # a traceback would show the values


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/mnt/check points",
        "~/checkpoints",
        "file:///mnt/c",
        "gs://bucket/path",
        "gcs://bucket",
        "s3://k:s@bucket?a=b",
    ],
)
def test_checkpoints_lie_in_a_folder_or_a_bucket(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("WARREN_CHECKPOINTS", f" {address}\n")
    assert load_settings().checkpoints == address


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARREN_THREADS", "0")
    monkeypatch.setenv("WARREN_MAX_ATTEMPTS", "0")
    with pytest.raises(InputError, match="WARREN_THREADS: .*; WARREN_MAX_ATTEMPTS: "):
        load_settings()


def test_settings_are_frozen_and_show_no_url() -> None:
    found = Settings(AMQP_URL="amqp://u:s3cret@h", MONGO_URL="mongodb://u:s3cret@h/d")
    assert "s3cret" not in repr(found)
    assert "s3cret" not in str(found)
    with pytest.raises(ValidationError, match="frozen"):
        found.threads = 3  # type: ignore[misc]  # what it refuses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:guest@localhost:5672/%2F", "amqp://guest:***@localhost:5672/%2F"),
        ("amqps://ann:s3cret@host", "amqps://ann:***@host"),
        ("mongodb://localhost:27017/tuning", "mongodb://localhost:27017/tuning"),
        ("mongodb://ann@host/tuning", "mongodb://ann@host/tuning"),
        ("mongodb://ann:s3cret@h1:1,h2:2/tuning?authSource=admin", "mongodb://ann:***@h1:1,h2:2/tuning"),
        ("mongodb+srv://ann:s3cret@host/tuning", "mongodb+srv://ann:***@host/tuning"),
        ("mongodb://host/tuning?tlsCertificateKeyFilePassword=s3cret", "mongodb://host/tuning"),
        ("amqps://host?ssl_options=s3cret#s3cret", "amqps://host"),
        ("mongodb://:s3cret@host/tuning", "mongodb://:***@host/tuning"),
        ("amqp://ann:s3c%40ret@host", "amqp://ann:***@host"),
        # What no parser takes is what errors show.
        ("amqp://ann:s3c@ret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3c/ret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3c?ret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3c#ret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3c://ret@host/v", "amqp://ann:***@host/v"),
        ("ann:s3cret@host/v", "ann:***@host/v"),
        ("amqp://ann:s3cret@[::1/v", "amqp://ann:***@[::1/v"),
        ("amqp://ann:s3cret\u2100@host/v", "amqp://ann:***@host/v"),
        # An @ in a query may be a password's: better a server unnamed than a secret said.
        ("mongodb://host/tuning?appName=me@home", "mongodb://***@home"),
        ("mongodb://host:27017/tuning?password=s3cret&appName=me@home", "mongodb://***"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_password_and_query(url: str, shown: str) -> None:
    assert redact(url) == shown
