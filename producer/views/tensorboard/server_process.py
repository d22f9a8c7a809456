"""``python -m producer.views.tensorboard.server_process``: TensorBoard, for names and pages of its own alone.

It ends with the process that has started it, as its standard input does. The first argument names, with commas, further
names that it answers to; the others are TensorBoard's.
"""

from __future__ import annotations

import os
import sys
import threading
import types
from typing import Any

HOST = "127.0.0.1"
"""Where it listens: TensorBoard has no password."""


def main() -> None:
    """Serve until told to stop."""
    names = sys.argv.pop(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # It imports TensorFlow where there is one, for file systems that we don't write to: half a gigabyte, and seconds.
    # By a module of this name its own builds say that there is none.
    sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
    from absl import app
    from tensorboard import default, main_lib, program

    from producer.views.host_check import guarded
    from warren.safety.http_hosts import Hosts

    hosts = Hosts(HOST, filter(None, names.split(",")), option="--allow-host")

    def server(application: Any, flags: Any) -> Any:
        return program.WerkzeugServer(guarded(application, hosts), flags)

    # As its own `run_main` does.
    main_lib.global_init()
    board = program.TensorBoard(plugins=default.get_plugins(), server_class=server)
    app.run(board.main, flags_parser=board.configure)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
