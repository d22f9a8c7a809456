"""``python -m producer`` is the command ``warren``."""

import os
import sys
from importlib.util import find_spec

if __name__ == "__main__" and not sys.flags.safe_path and (sys.path[0] == "" or sys.path[0] == os.getcwd()):  # noqa: PTH109
    # As in `worker.__main__`: import nothing from the working folder, unless it is a clone that is
    # not installed.
    _folder = sys.path.pop(0)
    _found = find_spec("warren")
    if _found is None or f"{_found.origin}".rpartition("warren")[0] != __file__.rpartition("producer")[0]:
        sys.path.insert(0, _folder)

from producer.cli import main

if __name__ == "__main__":
    sys.exit(main())
