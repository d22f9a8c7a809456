"""Every error that Warren raises, one tree.

::

    WarrenError
    ├── InputError         what the caller gave can't be used; nothing was published (also a ValueError)
    ├── StudyError         no such study, or it is not in the state that the call needs
    │   └── NoResultError  the study has no complete trial to answer from (also an AttributeError)
    ├── TrialError         every trial failed, or one did and ``error_score="raise"`` was asked for (also a ValueError)
    ├── MessageError       a message body is not a chunk: it is dead-lettered with this reason
    ├── BrokerError        RabbitMQ is unreachable or refuses (also a ConnectionError)
    ├── StoreError         MongoDB is unreachable or refuses (also a ConnectionError)
    ├── StackError         the servers and workers of a laptop can't be brought up
    └── ClusterError       Kubernetes is unreachable, refuses, or can't run what it was asked for

Driver errors (pika, pymongo, kubernetes) stop at the module that talks to the driver and leave it as one of these.
"""

from __future__ import annotations

import reprlib

from warren.printable import printable


class WarrenError(Exception):
    """Root of the tree: ``except WarrenError`` catches all that Warren raises on purpose.

    Its text repeats what others wrote, and Python shows it on a terminal: it is `printable`.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(WarrenError, ValueError):
    """What the caller gave can't be used. The text names the value and the way out."""


class StudyError(WarrenError):
    """A study is not there, or not in the state that the call needs."""


class NoResultError(StudyError, AttributeError):
    """No trial of the study is complete yet, so it has no best one.

    Also an ``AttributeError``, as scikit-learn's ``best_params_`` before ``fit`` is.
    """


class TrialError(WarrenError, ValueError):
    """Every trial of a study failed, or one did in a study submitted with ``error_score="raise"``.

    Also a ``ValueError``, as scikit-learn's "All the 10 fits failed" is.
    """


class MessageError(WarrenError, ValueError):
    """A message body is not a chunk that this version understands."""


class BrokerError(WarrenError, ConnectionError):
    """RabbitMQ can't be reached, or refuses. The text carries the URL without its password."""


class StoreError(WarrenError, ConnectionError):
    """MongoDB can't be reached, or refuses. The text carries the URL without its password."""


class StackError(WarrenError, RuntimeError):
    """A broker, a database or a worker can't be started on this machine."""


class ClusterError(WarrenError, RuntimeError):
    """Kubernetes can't be reached, refuses, or can't run what it was asked for. The text names what to do."""


def study_gone(study_id: str) -> StudyError:
    """Return the error for a study that has been deleted."""
    return StudyError(f"study {study_id!r} is not in the database any more")


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


def short(value: object) -> str:
    """Return a value as an error repeats it: ASCII, on one line, at most 60 characters, however large it is."""
    text = " ".join(_repr.repr(value).split()).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def plain(name: str) -> str:
    """Return a name as an error repeats it where it is one, and what `short` makes of it where it is anything else."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 60 else short(name)
