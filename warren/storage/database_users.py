"""Users of a database server: made, or given the password and the roles that they should have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.mongo import explain, open_database

# Where users are kept: a URL says authSource=admin.
_HOME = "admin"
# "UserNotFound".
_UNKNOWN = 11


@contextmanager
def _admin(settings: Settings) -> Iterator[Any]:
    database = open_database(settings)
    try:
        yield database.client[_HOME]
    except PyMongoError as exc:
        raise explain(settings, exc) from exc
    finally:
        database.client.close()


def set_user(settings: Settings, name: str, password: str, roles: Sequence[str | Mapping[str, str]]) -> None:
    """Make a user, or give the one that is there this password and these roles, and no others.

    Parameters
    ----------
    settings : Settings
        Name the server, and who may do this.
    name, password : str
    roles : sequence of str or mapping
        Of the database ``admin``, or ``{"role": "read", "db": "tuning"}``.

    Raises
    ------
    StoreError
        The server is unreachable or refuses.
    """
    fields = {"pwd": password, "roles": list(roles)}
    with _admin(settings) as admin:
        try:
            admin.command("updateUser", name, **fields)
        except OperationFailure as exc:
            if exc.code != _UNKNOWN:
                raise
            admin.command("createUser", name, **fields)


def user_names(settings: Settings) -> list[str]:
    """Return the names of all users of the server, ``database.user``; `StoreError` as `set_user`."""
    with _admin(settings) as admin:
        found: Document = admin.command("usersInfo", {"forAllDBs": True})
    return sorted(f"{user['db']}.{user['user']}" for user in found["users"])
