"""A worker whose first subscriptions the broker forgets without a word:
``python -m forgotten_worker``.

Each is taken back behind pika's back, so that the driver lists a consumer which the broker
no longer has.
"""

from __future__ import annotations

import sys
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic

from warren.queues import LANES
from worker.__main__ import main
from worker.consumer import listener

_subscribe = BlockingChannel.basic_consume
_forgotten: list[str] = []


def basic_consume(self: BlockingChannel, *arguments: Any, **options: Any) -> str:
    tag: str = _subscribe(self, *arguments, **options)
    if len(_forgotten) < len(LANES):
        _forgotten.append(tag)
        self._impl._send_method(Basic.Cancel(consumer_tag=tag, nowait=True))  # no answer, so pika learns nothing
    return tag


if __name__ == "__main__":
    BlockingChannel.basic_consume = basic_consume
    listener._PROBE_SECONDS = 0.5
    sys.exit(main())
