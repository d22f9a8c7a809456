"""Log lines of the entry points; everything else only asks for a logger by its module's name."""

from __future__ import annotations

import logging

# pika reports every lost connection as a stack of errors; ours says it once, with the consequence.
_QUIET = {"pika": logging.CRITICAL, "pymongo": logging.WARNING}


def configure_logging(level: str) -> None:
    """Send log lines to standard error: time, level, process, sentence.

    Parameters
    ----------
    level : str
        The lowest level shown.
    """
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(process)d %(message)s", force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)
