"""What is on its way, what is safe, and what is published again, over several connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from producer.publishing import outbox
from producer.publishing.outbox import Message, Outbox


def numbered(count: int, size: int = 1) -> Iterator[Message]:
    return (Message(body=bytes(size), id=str(number)) for number in range(count))


class Broker:
    """An outbox and what it was told is safe."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self.safe: list[str | None] = []
        self.box = Outbox(messages, lambda message: self.safe.append(message.id))
        assert not self.box.begin_again()

    def send(self, most: int = 10_000) -> list[str | None]:
        """Send as a connection does, until it is full or there are no more; return
        their numbers."""
        sent: list[str | None] = []
        while len(sent) < most and not self.box.is_full and (message := self.box.send()):
            sent.append(message.id)
        return sent


def ids(numbers: range) -> list[str]:
    return [str(number) for number in numbers]


def test_as_many_are_on_their_way_as_fit_the_window() -> None:
    broker = Broker(numbered(1200))
    assert broker.send() == ids(range(500))
    assert not broker.box.is_half_empty
    broker.box.settle(250, multiple=True, refused=False)
    assert broker.safe == ids(range(250))
    assert broker.box.is_half_empty
    assert broker.send() == ids(range(500, 750))


def test_large_messages_fill_the_window_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_WINDOW_BYTES", 1000)
    broker = Broker(numbered(100, size=300))
    assert broker.send() == ids(range(4))
    broker.box.settle(2, multiple=True, refused=False)
    assert not broker.box.is_half_empty
    broker.box.settle(3, multiple=False, refused=False)
    assert broker.send() == ids(range(4, 7))


def test_what_a_lost_connection_leaves_goes_first_and_in_order() -> None:
    broker = Broker(numbered(8))
    assert broker.send(5) == ids(range(5))
    broker.box.settle(2, multiple=False, refused=False)
    broker.box.settle(4, multiple=False, refused=True)
    assert broker.box.begin_again()
    assert broker.send(2) == ["0", "2"]
    # The next connection is lost too, with some of the old ones not even sent.
    assert broker.box.begin_again()
    assert broker.send() == ["0", "2", "3", "4", "5", "6", "7"]
    assert not broker.box.is_done
    broker.box.settle(7, multiple=True, refused=False)
    assert broker.box.is_done
    assert broker.safe == ["1", "0", "2", "3", "4", "5", "6", "7"]
    assert broker.box.safe == 8


def test_the_first_message_may_be_made_before_there_is_a_connection() -> None:
    box = Outbox(numbered(2), lambda _: None)
    box.prime()
    assert not box.is_done
    assert not box.begin_again()
    assert [message.id for message in iter(box.send, None)] == ["0", "1"]
    nothing = Outbox(numbered(0), lambda _: None)
    nothing.prime()
    assert nothing.is_done


def test_a_refused_message_is_not_safe_and_not_on_its_way() -> None:
    broker = Broker(numbered(1))
    broker.send()
    broker.box.settle(1, multiple=False, refused=True)
    assert (broker.box.is_idle, broker.box.is_done, broker.safe) == (True, False, [])


def test_a_word_on_a_message_that_nobody_waits_for_changes_nothing() -> None:
    broker = Broker(numbered(2))
    broker.send()
    for _ in range(2):
        broker.box.settle(1, multiple=False, refused=False)
    assert broker.safe == ["0"]


def test_messages_that_raise_end_with_those_before_them() -> None:
    def messages() -> Iterator[Message]:
        yield from numbered(3)
        raise RuntimeError("in the middle")

    broker = Broker(messages())
    assert broker.send() == ids(range(3))
    assert str(broker.box.raised) == "in the middle"
    assert not broker.box.is_done
    broker.box.settle(3, multiple=True, refused=False)
    assert broker.box.is_done


def test_the_broker_is_silent_only_while_no_message_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now)

    def messages() -> Iterator[Message]:
        nonlocal now
        for message in numbered(2):
            now += 30
            yield message

    broker = Broker(messages())
    broker.send()
    assert broker.box.silent_seconds == 0
    now += 7
    assert broker.box.silent_seconds == 7
    broker.box.settle(1, multiple=False, refused=True)
    assert broker.box.silent_seconds == 7
    broker.box.settle(2, multiple=False, refused=False)
    assert broker.box.silent_seconds == 0
