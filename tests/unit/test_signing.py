"""Signatures: another key does not verify them, and no key is read from a file that
others can read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from warren.errors import InputError
from warren.safety.signing import Keys, new_key, read_keys, tell_unsigned
from warren.settings import Settings, load_settings

KEY, OTHER = "k" * 32, "o" * 32


def test_a_new_key_is_one_and_never_the_same() -> None:
    key = new_key()
    assert read_keys(key) == (key,)
    assert key != new_key()


def test_what_was_signed_is_believed_and_nothing_else_is() -> None:
    keys = Keys([KEY])
    signature = keys.sign("warren/chunk", b"body")
    assert signature is not None
    assert keys.problem("warren/chunk", b"body", signature) is None
    assert "was changed" in str(keys.problem("warren/chunk", b"bodY", signature))
    assert "was changed" in str(keys.problem("warren/model", b"body", signature))
    assert "another key" in str(Keys([OTHER]).problem("warren/chunk", b"body", signature))
    for nothing in (None, ""):
        assert keys.problem("warren/chunk", b"body", nothing) == "is not signed"
    for wrong in (signature[:-1], f"{signature}0", signature.upper(), 1, b"x", {"$gt": ""}, [signature]):
        assert "something other" in str(keys.problem("warren/chunk", b"body", wrong))


def test_a_signature_says_nothing_of_its_key() -> None:
    signature = str(Keys([KEY]).sign("warren/study", b""))
    assert KEY not in signature
    assert KEY not in str(
        Keys([KEY, OTHER]).problem("warren/study", b"", str(Keys(["x" * 32]).sign("warren/study", b"")))
    )
    assert KEY not in repr(Keys([KEY]))
    assert KEY not in repr(Settings(WARREN_KEY=KEY))


def test_with_two_keys_the_first_signs_and_both_are_believed() -> None:
    before, between, after = Keys([OTHER]), Keys([KEY, OTHER]), Keys([KEY])
    old, new = before.sign("warren/study", b"x"), between.sign("warren/study", b"x")
    assert new == after.sign("warren/study", b"x")
    assert between.problem("warren/study", b"x", old) is None
    assert between.problem("warren/study", b"x", new) is None
    assert after.problem("warren/study", b"x", old) is not None


def test_without_a_key_nothing_is_signed_and_all_is_believed() -> None:
    keys = Keys([])
    assert not keys
    assert keys.sign("warren/chunk", b"") is None
    assert keys.problem("warren/chunk", b"", "anything") is None


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("content", [f"{KEY}\n{OTHER}\n", f"{KEY},{OTHER}", f"\n {KEY} \r\n{OTHER}\n\n"])
def test_keys_come_from_a_file_of_their_owner(tmp_path: Path, mode: int, content: str) -> None:
    file = tmp_path / "a key"
    file.write_text(content)
    file.chmod(mode)
    assert read_keys(str(file)) == (KEY, OTHER)


def test_a_file_of_keys_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("WARREN_KEY", "~/key")
    assert load_settings().key == (KEY,)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_others_reach_is_refused_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = tmp_path / "a key"
    file.write_text(KEY)
    file.chmod(mode)
    monkeypatch.setenv("WARREN_KEY", str(file))
    with pytest.raises(InputError, match=f"WARREN_KEY.*chmod 600 '{file}'") as caught:
        load_settings()
    assert KEY not in str(caught.value)


def test_what_is_no_file_of_keys_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    large, empty, short = tmp_path / "large", tmp_path / "empty", tmp_path / "short"
    large.write_text(KEY * 1000)
    empty.write_text("\n")
    short.write_text(f"{KEY}\ns3cret\n")
    for path in (large, empty, short):
        path.chmod(0o600)
    wrong = {
        pipe: "does not name a file",
        tmp_path: "can't be read: Is a directory",
        large: "something other",
        empty: "no key in it",
        short: "each line of the file must be 32",
        tmp_path / KEY: "can't be read: No such file",
    }
    for path, why in wrong.items():
        with pytest.raises(ValueError, match=why) as caught:
            read_keys(str(path))
        assert KEY not in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_more_than_two_keys_are_refused() -> None:
    assert read_keys(f"{KEY},{KEY},{OTHER}") == (KEY, OTHER)
    with pytest.raises(ValueError, match="it has 3 keys"):
        read_keys(f"{KEY},{OTHER},{'x' * 32}")


def test_a_key_that_can_not_be_used_is_in_no_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(WARREN_KEY="s3cret")
    assert "s3cret" not in str(caught.value)


def test_a_process_says_once_that_nothing_is_signed(caplog: pytest.LogCaptureFixture) -> None:
    tell_unsigned.cache_clear()
    with caplog.at_level(logging.WARNING):
        tell_unsigned()
        tell_unsigned()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["no WARREN_KEY"]
