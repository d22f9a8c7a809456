"""Names that an HTTP server answers to: its own, and never one that somebody else
lets lead here."""

from __future__ import annotations

import pytest

from warren.safety.http_hosts import Hosts, is_loopback

HERE = Hosts("127.0.0.1", option="--allow-host")
EVERYWHERE = Hosts("0.0.0.0", ["Board.example"], option="--allow-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80", None])
def test_a_server_answers_to_the_names_of_this_machine(host: str | None) -> None:
    assert HERE.refusal(host) is None
    assert EVERYWHERE.refusal(host) is None


STRANGE = [
    "",
    ":80",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:8080",
    "evil.example:127.0.0.1",
    "localhost@evil.example",
    "evil@localhost",
    "localhost/evil",
    "localhost:80:90",
    "localhost:x",
    "localhost,evil.example",
    "local\thost",
    "[::1",
    "[localhost]",
    "127.1",
    "2130706433",
    "\x1b[2J",
]


@pytest.mark.parametrize("host", STRANGE)
def test_a_server_answers_to_no_other_name(host: str) -> None:
    for hosts in (HERE, EVERYWHERE):
        said = hosts.refusal(host)
        assert said
        assert "--allow-host" in said
        assert "\x1b" not in said


def test_who_listens_for_others_answers_at_any_address_and_further_names() -> None:
    for host in ("192.0.2.7:8081", "[2001:db8::1]:80", "board.example", "BOARD.example:443"):
        assert EVERYWHERE.refusal(host) is None
        assert HERE.refusal(host) is not None
    named = Hosts("studies.example", option="--allow-host")
    assert named.refusal("studies.example:8080") is None
    assert named.refusal("other.example") is not None


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://localhost:3000", "file://", "http://[::1", "localhost:8080"]
)
def test_a_page_of_another_server_is_not_answered(origin: str) -> None:
    assert "may not use" in (HERE.refusal("localhost:8080", origin) or "")


def test_pages_of_its_own_are_answered() -> None:
    assert HERE.refusal("localhost:8080", "http://localhost:8080") is None
    assert EVERYWHERE.refusal("10.0.0.1:8081", "https://board.example") is None


def test_loopback_is_told_apart() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "example", "", "10.0.0.1")))
