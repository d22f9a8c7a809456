"""Text of others on its way to people: it steers no terminal, and passes for no other line."""

from __future__ import annotations

import json
import logging
import unicodedata
from typing import Any

import pytest

from producer.cli import main
from producer.cli.output import Column, complain, heading, note, print_json, say, table
from producer.formatting import show_reason, show_values
from producer.results.frames import _warn
from producer.results.progress_bar import Progress
from warren import errors
from warren.printable import one_line, printable

# Cursor, title, clipboard, 8-bit controls, overwriting, deletion, text turned round, invisible
# marks, half a letter.
STEERING = (
    "\x1b[2J\x1b]0;t\x07\x1b]52;c;cm0=\x07\x9b31m\x85\r\x08\x7f\x00\u202e\u2066\u200b\ufeff\u2028\ud800\U000e0041"
)
FORGED = f"a{STEERING}b\nwarren: all is well"


def is_plain(text: str) -> bool:
    return all(one.isprintable() or one in "\n\t" or unicodedata.category(one) == "Zs" for one in text)


def test_lines_letters_and_spaces_of_all_scripts_stay() -> None:
    kept = "a\tb\n\u4f60\u597d\u3000caf\xe9\xa0\u05d0 \N{SNOWMAN} \U0001f600 e\u0301 \\x1b"
    assert printable(kept) == kept
    assert printable("a\r\nb") == "a\nb"


@pytest.mark.parametrize("number", [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0xFEFF, 0x2029])
def test_what_could_steer_becomes_an_escape(number: int) -> None:
    assert printable(f"<{chr(number)}>") == f"<{ascii(chr(number))[1:-1]}>"


def test_one_line_stays_one() -> None:
    assert one_line(" a\n b\x0b\u2028c\rd\x1b ") == "a b c d\\x1b"


@pytest.mark.parametrize(
    "kind", [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.WarrenError)]
)
def test_no_error_steers_who_reads_it(kind: type[Exception]) -> None:
    assert is_plain(str(kind(FORGED)))
    assert "\\x1b[2J" in str(kind(FORGED))


def test_nothing_that_a_command_prints_steers(capsys: pytest.CaptureFixture[str]) -> None:
    say(FORGED)
    note(FORGED)
    heading(FORGED)
    table([Column(FORGED), Column("b")], [[FORGED, "1"]])
    complain(errors.StudyError(FORGED))
    out, err = capsys.readouterr()
    assert is_plain(out + err)
    assert not [line for line in (out + err).split("\n") if line.startswith("warren: all")]


def test_no_warning_of_a_command_steers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    assert main(["--version"]) == 0
    logging.getLogger("producer.of.this.test").warning("study %s", FORGED)
    err = capsys.readouterr().err
    assert "\\x1b[2J" in err
    assert is_plain(err)
    assert err.count("\n") == 1


def test_json_keeps_its_value_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    value: dict[str, Any] = {FORGED: [FORGED, "caf\xe9", 1.5], "x": "\U000e0041"}
    print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert is_plain(out)
    assert "caf\xe9" in out


def test_no_bar_card_warning_or_word_steers(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, FORGED) as shown:
        shown._line = f"{shown._description}: 1/3"
    ((name, value),) = show_values({FORGED: FORGED})
    with pytest.warns(UserWarning, match="all is well") as caught:
        _warn(FORGED, UserWarning)
    said = capsys.readouterr().err + name + value + show_reason(FORGED) + str(caught[0].message)
    assert "a\\x1b[2J" in said
    assert is_plain(said)
