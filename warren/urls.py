"""Describe what is wrong with a server's URL, without repeating what may be a password.

Drivers are too lenient: pika takes a text without a scheme for the guest account on this machine,
and the part of a password after a ``/`` for a virtual host.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

# One host of a URL: a name, or an IPv6 address in brackets, with an optional port.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_LARGEST_PORT = 65535
_NOT_IN_DATABASES = re.compile(r'[/\\. "$]')
_QUOTES = {'"', "'", "`"}


def problem_of(url: str, *schemes: str) -> str | None:
    """Return what is wrong with a URL, or None.

    Parameters
    ----------
    url : str
        The URL.
    *schemes : str
        The allowed schemes: ``amqp`` and ``amqps``, or ``mongodb`` and ``mongodb+srv``.

    Returns
    -------
    str or None
        Half a sentence, which repeats no part of the URL.
    """
    if url != url.strip():
        return "it begins or ends with a space or a line break"
    if re.search(r"[\x00-\x1f\x7f]", url):
        return "it contains a line break or another control character"
    # A quote at the end of the options may be part of an option.
    if url[:1] in _QUOTES or ("?" not in url and url[-1:] in _QUOTES):
        return "it is in quotes, which no shell has removed"
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in schemes:
        return f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, hosts = authority.rpartition("@")
    path, _, options = rest[len(authority) :].partition("?")
    is_mongo = scheme.lower().startswith("mongodb")
    # Some options of MongoDB contain an @, which can't come from a password if there is an @
    # before.
    if "@" in user + path or "#" in path + options or ("@" in options and not at):
        return "/, ?, # and @ in a user, a password or a name must be written %2F, %3F, %23 and %40"
    if re.search("%(?![0-9A-Fa-f]{2})", user + path):
        return "a % in a user, a password or a name must be written %25"
    if is_mongo and user.count(":") > 1:
        return "a : in a user or a password must be written %3A"
    if not is_mongo and at and ":" not in user:
        return "it has a user but no password"
    if not is_mongo and path.count("/") > 1:
        return "a / in the name of a virtual host must be written %2F, and %2F alone is the default one"
    if not is_mongo and "," in hosts:
        return "it names several hosts, but only one is allowed"
    problems = (_problem_of_host(host, named_by_srv=scheme.lower() == "mongodb+srv") for host in hosts.split(","))
    if problem := next(filter(None, problems), None):
        return problem
    if is_mongo and not path.strip("/"):
        return "it names no database, such as /tuning after the host"
    # MongoDB's driver takes the text after a . for a collection, and ignores it.
    if is_mongo and (odd := _NOT_IN_DATABASES.search(unquote(path[1:]))):
        return f"the name of a database can't contain {odd[0]!r}"
    return None


def _problem_of_host(host: str, *, named_by_srv: bool) -> str | None:
    found = _HOST.fullmatch(host)
    if found is None or ":" in (found["port"] or ""):
        return "an IPv6 address must be in brackets, such as [::1]"
    name, port = found["name"], found["port"]
    if not name:
        return "it names no host"
    if port is None:
        return None
    if named_by_srv:
        return "mongodb+srv:// takes no port: the name server provides it"
    # isdecimal alone would accept digits of other scripts, which int reads too.
    if port.isascii() and port.isdecimal() and 0 < int(port) <= _LARGEST_PORT:
        return None
    return f"its port is not a number from 1 to {_LARGEST_PORT}"
