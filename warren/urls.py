"""What is wrong with a server's URL, said without a word of it that may be the password's.

Drivers are lenient here: pika takes whatever has no scheme for the guest's server on this machine, and the part of a
password behind a ``/`` for a virtual host.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

# One host of a URL: a name, or an address of IPv6 in brackets, and perhaps a port.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_LARGEST_PORT = 65535
_NOT_IN_DATABASES = re.compile(r'[/\\. "$]')
_QUOTES = {'"', "'", "`"}


def problem_of(url: str, *schemes: str) -> str | None:
    """Return what is wrong with a URL, or None.

    Parameters
    ----------
    url : str
    *schemes : str
        ``amqp`` and ``amqps``, or ``mongodb`` and ``mongodb+srv``: the words that it may begin with.

    Returns
    -------
    str or None
        Half a sentence. It repeats no word of the URL.
    """
    if url != url.strip():
        return "it begins or ends with a space or a line break"
    if re.search(r"[\x00-\x1f\x7f]", url):
        return "there is a line break or another control character in it"
    # At the end of options a quote may be an option's.
    if url[:1] in _QUOTES or ("?" not in url and url[-1:] in _QUOTES):
        return "it stands in quotes, which no shell has taken away"
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in schemes:
        return f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, hosts = authority.rpartition("@")
    path, _, options = rest[len(authority) :].partition("?")
    is_mongo = scheme.lower().startswith("mongodb")
    # Some options of MongoDB's hold an @, which a password in front of it can't have left there.
    if "@" in user + path or "#" in path + options or ("@" in options and not at):
        return "/, ?, # and @ within a user, a password or a name are written %2F, %3F, %23 and %40"
    if re.search("%(?![0-9A-Fa-f]{2})", user + path):
        return "a % within a user, a password or a name is written %25"
    if is_mongo and user.count(":") > 1:
        return "a : within a user or a password is written %3A"
    if not is_mongo and at and ":" not in user:
        return "it names a user and no password"
    if not is_mongo and path.count("/") > 1:
        return "a / within the name of a virtual host is written %2F, and %2F alone is the default one"
    if not is_mongo and "," in hosts:
        return "it names several hosts, and one is asked for"
    problems = (_problem_of_host(host, named_by_srv=scheme.lower() == "mongodb+srv") for host in hosts.split(","))
    if problem := next(filter(None, problems), None):
        return problem
    if is_mongo and not path.strip("/"):
        return "it names no database, as /tuning behind the host does"
    # MongoDB's driver takes what stands behind a . for a collection, and leaves it out.
    if is_mongo and (odd := _NOT_IN_DATABASES.search(unquote(path[1:]))):
        return f"the name of a database has no {odd[0]!r} in it"
    return None


def _problem_of_host(host: str, *, named_by_srv: bool) -> str | None:
    found = _HOST.fullmatch(host)
    if found is None or ":" in (found["port"] or ""):
        return "an address of IPv6 stands in brackets, [::1] for one"
    name, port = found["name"], found["port"]
    if not name:
        return "it names no host"
    if port is None:
        return None
    if named_by_srv:
        return "with mongodb+srv:// there is no port: the name server says which"
    # isdecimal alone would take digits of other scripts, which int reads too.
    if port.isascii() and port.isdecimal() and 0 < int(port) <= _LARGEST_PORT:
        return None
    return f"its port is no number from 1 to {_LARGEST_PORT}"
