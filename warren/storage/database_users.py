"""Create the users of a database server, or set their passwords and roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.mongo import explain, open_database

# The database that stores users: authSource=admin in a URL.
_HOME = "admin"
# MongoDB's code for "UserNotFound".
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
    """Create a user, or give an existing one this password and exactly these roles.

    Parameters
    ----------
    settings : Settings
        The server, and a user who may do this.
    name, password : str
        The user.
    roles : sequence of str or mapping
        Roles on the database ``admin``, or ``{"role": "read", "db": "tuning"}``.

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
    """Return the names of all users of the server, ``database.user``; raises as `set_user` does."""
    with _admin(settings) as admin:
        found: Document = admin.command("usersInfo", {"forAllDBs": True})
    return sorted(f"{user['db']}.{user['user']}" for user in found["users"])
