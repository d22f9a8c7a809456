"""Log lines: one event a line, whatever it says, and no password in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from warren.logs import JsonLines, LogFormat, TextLines, formatter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


ITSELF: list[Any] = []
ITSELF.append(ITSELF)


@pytest.fixture
def line() -> Callable[..., str]:
    """Log one event through a formatter, and return what was written."""

    def write(how: logging.Formatter, sentence: str, *args: object, **options: Any) -> str:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(how)
        logger = logging.Logger("worker.chunk.runner")
        logger.addHandler(handler)
        logger.warning(sentence, *args, **options)
        return stream.getvalue()

    return write


def test_a_json_line_has_time_level_logger_process_event_and_fields(line: Callable[..., str]) -> None:
    before = datetime.now(UTC)
    fields = {"study": "iris-1", "chunk": 3, "seconds": 1.5, "numbers": [1, 2], "left": None}
    found = json.loads(line(JsonLines(), "chunk ended", extra=fields))
    moment = datetime.fromisoformat(found.pop("time"))
    assert 0 <= (moment - before).total_seconds() + 0.001 < 5
    assert moment.utcoffset() is not None
    assert found.pop("process") > 0
    assert found == {"level": "WARNING", "logger": "worker.chunk.runner", "event": "chunk ended", **fields}
    assert list(fields) == list(found)[-len(fields) :]


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines",
        "carriage\rreturn",
        "\x1b[2J\x00",
        "\u2028 a line to some \x85",
        '"}\n{"event": "forged"',
        "\udc80",
        b"\xff",
        float("nan"),
        float("inf"),
        [float("nan")],
        {("a", 1): 2},
        {1, 2},
        ITSELF,
        object(),
        Unspeakable(),
        RuntimeError("two\nlines"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_json_line_is_one_object_whatever_it_holds(line: Callable[..., str], value: object) -> None:
    written = line(JsonLines(), "something %s", "odd\nhere", extra={"value": value, "seconds": 1.5})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert written.endswith("\n")
    assert len(written.splitlines()) == 1
    found = json.loads(written, parse_constant=refuse)
    assert found["event"] == "something odd\nhere"
    assert found["seconds"] == 1.5
    assert "value" in found


def test_a_field_called_like_one_of_ours_forges_nothing(line: Callable[..., str]) -> None:
    found = json.loads(line(JsonLines(), "chunk ended", extra={"event": "forged", "time": 0, "level": "DEBUG"}))
    assert (found["event"], found["level"]) == ("chunk ended", "WARNING")


def test_an_exception_is_one_field(line: Callable[..., str]) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        written = line(JsonLines(), "it went wrong", exc_info=True)
    assert len(written.splitlines()) == 1
    found = json.loads(written)
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: two\nlines")
    assert "exc_info" not in found


def test_a_text_line_ends_with_its_fields(line: Callable[..., str]) -> None:
    fields = {"study": "iris-1", "chunk": 3, "seconds": 123456.7890123, "reason": "no luck"}
    written = line(TextLines(), "chunk ended", extra=fields)
    assert written.endswith(" chunk ended: study=iris-1 chunk=3 seconds=123457 reason=no luck\n")
    assert " WARNING " in written
    assert line(TextLines(), "stopped").endswith(" stopped\n")


def test_a_text_field_can_not_pass_for_a_line_or_drive_the_terminal(line: Callable[..., str]) -> None:
    written = line(TextLines(), "dead-lettered", extra={"reason": "bad\n2025-01-01 INFO 1 all is well\x1b[2J\u202e"})
    assert len(written.splitlines()) == 1
    assert "bad 2025-01-01 INFO 1 all is well\\x1b[2J\\u202e" in written


def test_a_traceback_stands_below_its_text_line(line: Callable[..., str]) -> None:
    try:
        raise ValueError("no luck")
    except ValueError:
        written = line(TextLines(), "it went wrong", exc_info=True, extra={"chunk": 3})
    first, second, *_, last = written.splitlines()
    assert first.endswith("it went wrong: chunk=3")
    assert second.startswith("  Traceback")
    assert last == "  ValueError: no luck"


def test_no_sentence_or_traceback_passes_for_another_line(line: Callable[..., str]) -> None:
    forged = "2026-12-01 00:00:00,000 CRITICAL 1 all is lost"
    try:
        raise ValueError(f"no\x1b]0;luck\x07\r\n{forged}\u2028{forged}")
    except ValueError:
        written = line(TextLines(), f"a library says\n{forged}\x9b2J\u202e", exc_info=True)
    assert not [one for one in written.split("\n")[1:-1] if not one.startswith("  ")]
    assert "\\x1b]0;luck\\x07" in written
    assert not [letter for letter in written if not letter.isprintable() and letter != "\n"]


@pytest.mark.parametrize("how", [JsonLines(), TextLines()], ids=["json", "text"])
def test_no_line_says_a_password(line: Callable[..., str], how: logging.Formatter) -> None:
    url = "mongodb+srv://ann:s3cret@host/tuning?password=s3cret"
    try:
        raise ValueError(f"can't read {url}")
    except ValueError:
        written = line(how, "lost %s", url, exc_info=True, extra={"url": url, "again": f"at {url}: gone"})
    assert "s3cret" not in written
    assert written.count("ann:***@host") == 4


@pytest.mark.parametrize(
    ("form", "stream", "text"),
    [
        ("auto", Terminal(), True),
        ("auto", io.StringIO(), False),
        ("text", io.StringIO(), True),
        ("json", Terminal(), False),
    ],
)
def test_a_terminal_gets_text_and_anything_else_json_unless_told(form: LogFormat, stream: Any, text: bool) -> None:
    assert isinstance(formatter(form, stream), TextLines if text else JsonLines)


LOUD = """
import logging, threading, warnings
from warren.logs import configure_logging
configure_logging("INFO")
logging.getLogger("worker").info("begins", extra={"chunk": 1})
logging.getLogger("pika").error("a stack of errors")
warnings.warn("it may\\nnot converge")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
threading.Thread(target=lambda: exit(3)).start()
raise KeyError("nobody catches it")
"""


def test_everything_that_a_process_says_is_a_json_line() -> None:
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    begins, warning, thread, uncaught = (json.loads(line) for line in done.stderr.splitlines())
    assert begins["event"] == "begins"
    assert warning["logger"] == "py.warnings"
    assert "it may\nnot converge" in warning["event"]
    assert "ZeroDivisionError" in thread["exception"]
    assert uncaught["level"] == "CRITICAL"
    assert uncaught["exception"].endswith("KeyError: 'nobody catches it'")
