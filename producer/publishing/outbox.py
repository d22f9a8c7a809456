"""Tracks messages until the broker confirms them, across connections."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

# Most unconfirmed messages and bytes: enough to keep a broker busy; they stay in memory until
# confirmed.
_WINDOW = 500
_WINDOW_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message to publish.

    Attributes
    ----------
    body : bytes
    id : str or None
        For logs and the management page.
    n_trials : int
        Number of trials in it.
    queue : str or None
        Its queue; None is the publication's queue.
    signature : str or None
        The producer's signature.
    """

    body: bytes
    id: str | None = None
    n_trials: int = 0
    queue: str | None = None
    signature: str | None = None


class Outbox:
    """The messages to publish, those that wait for a confirm, and those to publish again.

    Parameters
    ----------
    messages : iterator of Message
        Consumed lazily.
    on_safe : callable
        Called with each confirmed message.
    """

    def __init__(self, messages: Iterator[Message], on_safe: Callable[[Message], None]) -> None:
        self._messages = messages
        self._on_safe = on_safe
        # Unconfirmed and refused messages of the current connection, by delivery tag, which counts
        # from 1.
        self._unconfirmed: dict[int, Message] = {}
        self._refused: dict[int, Message] = {}
        self._tag = 0
        self._bytes = 0
        # Messages that earlier connections left unconfirmed, in order.
        self._resend: deque[Message] = deque()
        # Whether all messages are consumed, and the error of the iterator, which pika would take
        # for a lost connection.
        self.exhausted = False
        self.raised: Exception | None = None
        self._begun = False
        self.safe = 0
        # When the broker last confirmed a message, without the time that the caller takes to make
        # messages.
        self._moved_at = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the broker last confirmed a message."""
        return time.monotonic() - self._moved_at

    @property
    def is_idle(self) -> bool:
        """Whether no message waits for a confirm."""
        return not self._unconfirmed

    @property
    def is_half_empty(self) -> bool:
        """Whether to send more messages."""
        return len(self._unconfirmed) <= _WINDOW // 2 and self._bytes <= _WINDOW_BYTES // 2

    @property
    def is_full(self) -> bool:
        """Whether enough messages wait for a confirm."""
        return len(self._unconfirmed) >= _WINDOW or self._bytes >= _WINDOW_BYTES

    @property
    def is_done(self) -> bool:
        """Whether every message is confirmed."""
        return self.exhausted and not (self._unconfirmed or self._refused or self._resend)

    def prime(self) -> None:
        """Make the first message, which may take long because it plans the study."""
        if (message := self._next()) is not None:
            self._resend.append(message)

    def send(self) -> Message | None:
        """Return the next message and mark it as unconfirmed; None if there is none."""
        message = self._resend.popleft() if self._resend else self._next()
        if message is not None:
            self._tag += 1
            self._unconfirmed[self._tag] = message
            self._bytes += len(message.body)
        return message

    def _next(self) -> Message | None:
        if self.exhausted:
            return None
        began = time.monotonic()
        try:
            message = next(self._messages, None)
        except Exception as exc:  # noqa: BLE001 - `publish` raises it again
            self.raised = exc
            message = None
        finally:
            self._moved_at += time.monotonic() - began
        self.exhausted = message is None
        return message

    def settle(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """Process the broker's ack or nack of one message, or of all up to it."""
        tags = takewhile(lambda number: number <= tag, list(self._unconfirmed)) if multiple else [tag]
        for number in tags:
            if (message := self._unconfirmed.pop(number, None)) is None:
                continue
            self._bytes -= len(message.body)
            if refused:
                self._refused[number] = message
                continue
            self.safe += 1
            self._moved_at = time.monotonic()
            self._on_safe(message)

    def begin_again(self) -> bool:
        """Requeue the last connection's unconfirmed messages; return whether there was one."""
        lost = self._unconfirmed | self._refused
        self._resend.extendleft(lost[tag] for tag in sorted(lost, reverse=True))
        self._unconfirmed.clear()
        self._refused.clear()
        self._tag = self._bytes = 0
        again, self._begun = self._begun, True
        return again
