"""What fits print: it is passed on, its end is kept by trial, and no fit waits for its reader."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from polling import until

from worker.process.output import TAIL_BYTES, Forwarder, OutputReader, part_marker, tail_of


class Pipes:
    """A training process's end of an output, and a reader's end of where it goes."""

    def __init__(self) -> None:
        source, self.writer = os.pipe()
        self.reader, self.sink = os.pipe()
        self.output = OutputReader(source, Forwarder(self.sink))

    def say(self, printed: bytes) -> None:
        while printed:
            printed = printed[os.write(self.writer, printed) :]

    def heard(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            found += os.read(self.reader, count - len(found))
        return found


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    for descriptor in (made.writer, made.reader, made.sink):
        with suppress(OSError):
            os.close(descriptor)


def test_output_is_passed_on_without_marks_and_its_end_is_kept_by_part(pipes: Pipes) -> None:
    pipes.say(b"loading\n" + part_marker(0) + b"first\nhalf a line" + part_marker(1) + "zweite\N{SNOWMAN}".encode())
    assert pipes.output.tail(0) == "first\nhalf a line"
    assert pipes.output.tail(1) == pipes.output.tail() == "zweite\N{SNOWMAN}"
    assert pipes.output.tail(2) == ""
    os.close(pipes.writer)
    expected = "loading\nfirst\nhalf a linezweite\N{SNOWMAN}".encode()
    assert pipes.heard(len(expected)) == expected


def test_what_is_passed_on_steers_no_terminal(pipes: Pipes) -> None:
    steering = "\x1b]0;title\x07 \x1b[2J\x9b1A\x08\u202eabc"
    pipes.say(f"{steering}\n 50%|#\r100%|##\n\x1b[1;32mgreen\x1b[0m\ttab \N{SNOWMAN}\r\n".encode())
    os.close(pipes.writer)
    expected = "\ufffd]0;title\ufffd \ufffd[2J\ufffd1A\ufffd\ufffdabc\n100%|##\ngreen\ttab \N{SNOWMAN}\n".encode()
    assert pipes.heard(len(expected)) == expected


def test_a_mark_is_found_wherever_reads_cut_it(pipes: Pipes) -> None:
    for byte in b"one\n" + part_marker(7) + b"two\n":
        pipes.say(bytes([byte]))
        pipes.output.tail()
    assert pipes.output.tail(7) == "two"


def test_the_end_is_bounded_text_without_control_characters_and_passwords() -> None:
    long = "\N{SNOWMAN}" * 10_000
    assert len(tail_of(long.encode())) <= TAIL_BYTES
    assert set(tail_of(long.encode())) <= {"\N{SNOWMAN}", "\N{REPLACEMENT CHARACTER}"}
    assert tail_of(b" 10%|#  |\r 20%|## |\r100%|###|\n") == "100%|###|"
    assert tail_of(b"a\r\nb\r\n") == "a\nb"
    assert tail_of(b"\x1b[31mred\x1b[0m\x00\xff\tand\x1b]0;x\x07") == "red\ufffd\ufffd\tand\ufffd]0;x\ufffd"
    assert "hunter2" not in tail_of(b"amqp://bob:hunter2@host/")
    crash = b"it says\nFatal Python error\n\nExtension modules: " + b"numpy, " * 1000 + b"(total: 1000)\n"
    assert tail_of(crash) == "it says\nFatal Python error"


def test_a_flood_waits_for_no_reader_and_fills_no_memory(pipes: Pipes) -> None:
    began = time.monotonic()
    line = b"x" * 99 + b"\n"
    for _ in range(500):
        pipes.say(line * 1000)  # 50 MB, and no one reads a byte
    took = time.monotonic() - began
    assert took < 20
    pipes.say(part_marker(0) + b"the end\n")
    assert pipes.output.tail(0) == "the end"
    stopped = threading.Event()

    def read() -> None:
        while not stopped.is_set() and b"bytes of output left out" not in os.read(pipes.reader, 1 << 20):
            pipes.say(b"more\n")
        stopped.set()

    threading.Thread(target=read, daemon=True).start()
    assert stopped.wait(20), "who reads at last learns that something is missing"


def test_a_reader_that_goes_away_is_no_matter(pipes: Pipes) -> None:
    os.close(pipes.reader)
    for number in range(10):
        pipes.say(part_marker(number) + b"still printing\n" * 1000)
    until(lambda: pipes.output.tail(9).endswith("still printing"), 10, "all of it was read")
