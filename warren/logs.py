"""Log lines of the entry points: text on a terminal, one JSON object per line elsewhere.

All other modules use a logger with the module's name, and log a fixed sentence with fields::

    logger.info("chunk ended", extra={"study": chunk.study_id, "chunk": chunk.index})

A field is a number, a short text or a list of them. Its name must not be in `_OURS`, nor be an
attribute of `logging.LogRecord` (``name``, ``args``, ``module``, ``process``): the standard library
raises for those.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Literal, TextIO, TypeAlias

from pythonjsonlogger.core import RESERVED_ATTRS, merge_record_extra
from pythonjsonlogger.defaults import unknown_default
from pythonjsonlogger.json import JsonFormatter

from warren.printable import one_line, printable
from warren.settings import redact

logger = logging.getLogger(__name__)

LogFormat: TypeAlias = Literal["auto", "text", "json"]

# pika logs every lost connection as several errors; we log it once, with its consequence.
_QUIET = {"pika": logging.CRITICAL, "pymongo": logging.WARNING}
# The fields of every JSON line, by their attribute of `logging.LogRecord`.
_OURS = {"asctime": "time", "levelname": "level", "name": "logger", "process": "process", "message": "event"}
# Addresses of servers, which may contain a password. Our code redacts them; this is for texts of
# libraries and tracebacks.
_URL = re.compile(r"\b(?:amqps?|mongodb(?:\+srv)?)://\S+")


def without_passwords(text: str) -> str:
    """Return a text with the passwords in server addresses replaced."""
    return _URL.sub(lambda found: redact(found[0]), text)


class TextLines(logging.Formatter):
    """Lines for people: time, level, process, sentence, then ``field=value``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(process)d %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Return the line without the traceback, which `format` adds below it."""
        fields = merge_record_extra(record, {}, reserved=RESERVED_ATTRS)
        shown = " ".join(f"{name}={_field(value)}" for name, value in fields.items())
        return super().formatMessage(record) + (f": {shown}" if shown else "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        Further lines of the sentence and the traceback follow below it, indented.
        """
        return printable(without_passwords(super().format(record))).replace("\n", "\n  ")


def _field(value: object) -> str:
    return one_line(f"{value:.6g}" if isinstance(value, float) else value)


class JsonLines(JsonFormatter):
    """Lines for machines: one JSON object (RFC 8259) each, for any fields."""

    def __init__(self) -> None:
        super().__init__(
            list(_OURS),
            rename_fields={**_OURS, "exc_info": "exception", "stack_info": "stack"},
            reserved_attrs=[*RESERVED_ATTRS, *_OURS.values()],
            # NaN is not JSON: it raises, and is then written as text.
            json_serializer=partial(json.dumps, allow_nan=False),
            json_default=unknown_default,
        )

    # The standard library's name and signature.
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the record's time: ISO 8601, UTC, to the millisecond."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields without passwords."""
        return {name: without_passwords(value) if isinstance(value, str) else value for name, value in log_data.items()}

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the fields as JSON; values that JSON can't express become text."""
        try:
            return super().jsonify_log_record(log_data)
        except (TypeError, ValueError, RecursionError):  # NaN, keys that are not text, a list that contains itself
            return super().jsonify_log_record({name: _plain(value) for name, value in log_data.items()})


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return unknown_default(value)


def formatter(form: LogFormat, stream: TextIO) -> logging.Formatter:
    """Return the formatter for log lines.

    Parameters
    ----------
    form : {"auto", "text", "json"}
        ``auto`` is text if `stream` is a terminal, otherwise JSON.
    stream : file
        Where the lines go.

    Returns
    -------
    logging.Formatter
        For text or for JSON.
    """
    return TextLines() if stream_form(form, stream) == "text" else JsonLines()


def stream_form(form: LogFormat, stream: TextIO) -> Literal["text", "json"]:
    """Return the format for a stream; ``auto`` is text if it is a terminal, otherwise JSON."""
    if form == "auto":
        return "text" if stream.isatty() else "json"
    return form


def configure_logging(level: str, form: LogFormat = "auto") -> None:
    """Send log lines to standard error; warnings and uncaught errors become log lines too.

    Parameters
    ----------
    level : str
        The lowest level shown.
    form : {"auto", "text", "json"}, default="auto"
        ``auto`` is text if standard error is a terminal, otherwise JSON.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form, sys.stderr))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda end: _uncaught(end.exc_type, end.exc_value, end.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    if issubclass(kind, SystemExit):  # a thread that ends on purpose
        return
    logger.critical("ended by an uncaught error", exc_info=(kind, error or kind(), where))
