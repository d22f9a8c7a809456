"""``make fuzz``: mutated messages, through the decoder and through a worker; trees, through the
builder; patterns."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from fuzz import building, decoder, live, patterns


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _report(what: str, found: Counter[str], seconds: float) -> None:
    _say(f"\n{what}: {found.total():,} messages in {seconds:.0f} s")
    for accepted in (decoder.ACCEPTED, live.ACKNOWLEDGED):
        if count := found.pop(accepted, 0):
            _say(f"{count:9,}  {accepted}")
    _say(f"{found.total():9,}  refused, for {len(found)} kinds of reasons; the most common:")
    for reason, count in found.most_common(15):
        _say(f"{count:9,}    {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="through the decoder")
    parser.add_argument("--trees", type=int, default=100_000, help="of estimators, through decoder and builder")
    parser.add_argument("--patterns", type=int, default=100_000, help="regular expressions, and texts for them")
    parser.add_argument("--live", type=int, default=10_000, help="through a worker")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**6 % 10**9, help="of the first message")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    _say(f"seed {arguments.seed}")
    began = time.monotonic()
    _report("decoder", decoder.run(arguments.messages, arguments.seed), time.monotonic() - began)
    if arguments.trees:
        began = time.monotonic()
        _report("builder", building.run(arguments.trees, arguments.seed), time.monotonic() - began)
        _say("nothing was opened, started, imported or compiled, and nothing that reaches further was built")
    if arguments.patterns:
        began = time.monotonic()
        _report("patterns", patterns.run(arguments.patterns, arguments.seed), time.monotonic() - began)
        _say("all that were let through ended")
    if arguments.live:
        began = time.monotonic()
        found, _ = live.run(arguments.live, arguments.seed, _say)
        _report("worker", found, time.monotonic() - began)
        _say("worker alive: the same process throughout, and it ran a study at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
