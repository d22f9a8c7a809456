"""All errors that Warren raises, in one tree.

::

    WarrenError
    ├── InputError         an argument can't be used; nothing was published (also a ValueError)
    ├── StudyError         no such study, or it is in the wrong state for the call
    │   └── NoResultError  the study has no complete trial yet (also an AttributeError)
    ├── TrialError         every trial failed, or one did with ``"raise"`` (also a ValueError)
    ├── MessageError       a message body is not a chunk: it is dead-lettered with this reason
    ├── BrokerError        RabbitMQ is unreachable or refuses (also a ConnectionError)
    ├── StoreError         MongoDB is unreachable or refuses (also a ConnectionError)
    ├── StackError         the servers and workers of a laptop can't be started
    └── ClusterError       Kubernetes is unreachable, refuses, or can't run what was asked for

The module that calls a driver (pika, pymongo, kubernetes) turns the driver's errors into one of
these.
"""

from __future__ import annotations

import reprlib

from warren.printable import printable


class WarrenError(Exception):
    """Root of the tree: ``except WarrenError`` catches everything that Warren raises on purpose.

    Its text repeats input from others, and Python shows it on a terminal, so it is made
    `printable`.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(WarrenError, ValueError):
    """An argument can't be used. The text names the value and what to do."""


class StudyError(WarrenError):
    """A study does not exist, or is in the wrong state for the call."""


class NoResultError(StudyError, AttributeError):
    """No trial of the study is complete yet, so there is no best one.

    Also an ``AttributeError``, as scikit-learn's ``best_params_`` before ``fit`` is.
    """


class TrialError(WarrenError, ValueError):
    """Every trial of a study failed, or one did in a study submitted with ``error_score="raise"``.

    Also a ``ValueError``, as scikit-learn's "All the 10 fits failed" is.
    """


class MessageError(WarrenError, ValueError):
    """A message body is not a chunk that this version understands."""


class BrokerError(WarrenError, ConnectionError):
    """RabbitMQ is unreachable or refuses. The text has the URL without its password."""


class StoreError(WarrenError, ConnectionError):
    """MongoDB is unreachable or refuses. The text has the URL without its password."""


class StackError(WarrenError, RuntimeError):
    """A broker, a database or a worker can't be started on this machine."""


class ClusterError(WarrenError, RuntimeError):
    """Kubernetes is unreachable, refuses, or can't run what was asked for.

    The text tells what to do.
    """


def study_gone(study_id: str) -> StudyError:
    """Return the error for a study that has been deleted."""
    return StudyError(f"study {study_id!r} is not in the database any more")


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


def short(value: object) -> str:
    """Return a value as an error shows it: ASCII, on one line, at most 60 characters."""
    text = " ".join(_repr.repr(value).split()).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def plain(name: str) -> str:
    """Return a name as it is if it is an identifier, and otherwise as `short` shows it."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 60 else short(name)
