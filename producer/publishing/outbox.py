"""Messages until the broker has them safe, over as many connections as that takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

# Messages and bytes on their way at once: enough to keep a broker busy, and kept in memory until it has them safe.
_WINDOW = 500
_WINDOW_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is published.

    Attributes
    ----------
    body : bytes
    id : str or None
        For logs and for the management page.
    n_trials : int
        Trials that it carries.
    queue : str or None
        Where it goes; None is the queue of its publication.
    signature : str or None
        Of the one who publishes it.
    """

    body: bytes
    id: str | None = None
    n_trials: int = 0
    queue: str | None = None
    signature: str | None = None


class Outbox:
    """What is to be published, what is on its way, and what has to be published again.

    Parameters
    ----------
    messages : iterator of Message
        Walked lazily.
    on_safe : callable
        Called with each message that the broker has safe.
    """

    def __init__(self, messages: Iterator[Message], on_safe: Callable[[Message], None]) -> None:
        self._messages = messages
        self._on_safe = on_safe
        # On their way on the connection that there is, by delivery tag, which counts from 1; and refused on it.
        self._on_way: dict[int, Message] = {}
        self._refused: dict[int, Message] = {}
        self._tag = 0
        self._bytes = 0
        # What earlier connections left unconfirmed, in order.
        self._again: deque[Message] = deque()
        # There is nothing to come any more, or the messages raised: pika would take that for a lost connection.
        self.exhausted = False
        self.raised: Exception | None = None
        self._begun = False
        self.safe = 0
        # When the broker last had a message safe; what the caller takes to make messages is not its time.
        self._moved_at = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the broker had another message safe."""
        return time.monotonic() - self._moved_at

    @property
    def is_idle(self) -> bool:
        """Whether no message is on its way."""
        return not self._on_way

    @property
    def is_half_empty(self) -> bool:
        """Whether it is time for more messages."""
        return len(self._on_way) <= _WINDOW // 2 and self._bytes <= _WINDOW_BYTES // 2

    @property
    def is_full(self) -> bool:
        """Whether enough messages are on their way."""
        return len(self._on_way) >= _WINDOW or self._bytes >= _WINDOW_BYTES

    @property
    def is_done(self) -> bool:
        """Whether every message is safe."""
        return self.exhausted and not (self._on_way or self._refused or self._again)

    def prime(self) -> None:
        """Make the first message, which may take long: a search is planned then."""
        if (message := self._next()) is not None:
            self._again.append(message)

    def send(self) -> Message | None:
        """Return the next message as one that is on its way, or None when there is none."""
        message = self._again.popleft() if self._again else self._next()
        if message is not None:
            self._tag += 1
            self._on_way[self._tag] = message
            self._bytes += len(message.body)
        return message

    def _next(self) -> Message | None:
        if self.exhausted:
            return None
        began = time.monotonic()
        try:
            message = next(self._messages, None)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller of `publish` gets it
            self.raised = exc
            message = None
        finally:
            self._moved_at += time.monotonic() - began
        self.exhausted = message is None
        return message

    def settle(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """Take the broker's word for one message, or for all up to it."""
        tags = takewhile(lambda one: one <= tag, list(self._on_way)) if multiple else [tag]
        for one in tags:
            if (message := self._on_way.pop(one, None)) is None:
                continue
            self._bytes -= len(message.body)
            if refused:
                self._refused[one] = message
                continue
            self.safe += 1
            self._moved_at = time.monotonic()
            self._on_safe(message)

    def begin_again(self) -> bool:
        """Put what the last connection left unconfirmed before everything else; return whether there was one."""
        lost = self._on_way | self._refused
        self._again.extendleft(lost[tag] for tag in sorted(lost, reverse=True))
        self._on_way.clear()
        self._refused.clear()
        self._tag = self._bytes = 0
        again, self._begun = self._begun, True
        return again
