"""A name server of a test's own, in every process that has this folder on its path.

``cluster.example.test`` has the address that the file ``$NAMES`` holds, ``host:port``. As long as
there is none, the name server is away. Imported by the interpreter itself, before anything else.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.name
import dns.resolver

# A target lies in the domain that was asked for, or pymongo refuses it.
TARGET = "db.example.test"
_look_up = socket.getaddrinfo


def resolve(name: str, kind: str, **_: Any) -> list[Any]:
    file = Path(os.environ["NAMES"])
    if not file.exists():
        raise dns.resolver.NoNameservers(request=None, errors=[])
    if kind == "TXT":
        raise dns.resolver.NoAnswer(response=SimpleNamespace(question=name))
    return [SimpleNamespace(target=dns.name.from_text(f"{TARGET}."), port=int(file.read_text().partition(":")[2]))]


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    if host == TARGET:
        host = Path(os.environ["NAMES"]).read_text().partition(":")[0]
    return _look_up(host, *arguments, **options)


dns.resolver.resolve = resolve
socket.getaddrinfo = getaddrinfo
