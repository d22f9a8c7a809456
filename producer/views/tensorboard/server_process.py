"""TensorBoard as a process that refuses foreign requests.

Start it by ``python -m producer.views.tensorboard.server_process``.

It ends with the process that started it, when its standard input closes. The first argument lists
further host names to answer to, separated by commas; the others are TensorBoard's own.
"""

from __future__ import annotations

import os
import sys
import threading
import types
from typing import Any

HOST = "127.0.0.1"
"""The address to listen on: this machine only, because TensorBoard has no password."""


def main() -> None:
    """Serve until the parent process ends or stops it."""
    names = sys.argv.pop(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # TensorBoard imports TensorFlow if it is installed, for file systems that we don't use; it
    # costs half a gigabyte and seconds. A module of this name tells it to do without.
    sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
    from absl import app
    from tensorboard import default, main_lib, program

    from producer.views.host_check import guarded
    from warren.safety.http_hosts import Hosts

    hosts = Hosts(HOST, filter(None, names.split(",")), option="--allow-host")

    def server(application: Any, flags: Any) -> Any:
        return program.WerkzeugServer(guarded(application, hosts), flags)

    # The same steps as TensorBoard's `run_main`.
    main_lib.global_init()
    board = program.TensorBoard(plugins=default.get_plugins(), server_class=server)
    app.run(board.main, flags_parser=board.configure)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
