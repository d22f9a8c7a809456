"""Signatures: whoever has ``WARREN_KEY`` has written this, and nobody has changed it since.

The key is a secret of those who submit studies, of workers and of readers; neither the broker nor the database knows
it. So what either of them holds, and others can write, is believed by its signature alone: HMAC-SHA256
(https://www.rfc-editor.org/rfc/rfc2104) of the content and of what it is, so that a signed model is no signed chunk.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import shlex
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

logger = logging.getLogger(__name__)

Signed: TypeAlias = Literal["warren/chunk", "warren/study", "warren/model"]
"""What is signed."""

# 32 hexadecimal digits are 128 bits: nobody guesses them.
_SHORTEST_KEY = 32
_KEY = re.compile(rf"[A-Za-z0-9+/=_-]{{{_SHORTEST_KEY},}}")
_MOST_KEYS = 2
# Bytes of a file of keys; more is something else.
_LARGEST_FILE = 4096
_MAKE = "`openssl rand -hex 32` makes one"


def new_key() -> str:
    """Return a new key: 256 bits as hexadecimal text, which every shell and every file format takes as it is."""
    return secrets.token_hex(32)


def read_keys(written: str) -> tuple[str, ...]:
    """Return the keys that the setting ``WARREN_KEY`` names: the first signs, all verify.

    Parameters
    ----------
    written : str
        One key or two, with a comma or a line break between; or the whole path of a file with one a line, which its
        owner alone can read.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        There is no such file or others can read it; a key is too short or there are too many. The text repeats no key.
    """
    value = written.strip()
    if value.startswith(("/", "~")):
        value = _content(os.path.expanduser(value))  # noqa: PTH111 - pathlib's raises
        where = "each line of the file"
    else:
        where = "it"
    keys = tuple(dict.fromkeys(key for part in re.split(r"[,\r\n]", value) if (key := part.strip())))
    if written.strip() and not keys:
        raise ValueError(f"there is no key in it: {_MAKE}")
    if not all(_KEY.fullmatch(key) for key in keys):
        raise ValueError(
            f"{where} must be {_SHORTEST_KEY} or more letters, digits and + / = _ - ({_MAKE}), or the whole path of a "
            "file of such lines"
        )
    if len(keys) > _MOST_KEYS:
        raise ValueError(f"it has {len(keys)} keys: one, or while it is changed two, of which the first signs")
    return keys


def _content(path: str) -> str:
    """Return what a file of keys holds that its owner alone can read."""
    try:
        # A pipe would not open before somebody writes to it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            # Asked of the file that is open: none is put in its place meanwhile.
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError("it names something else than a file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"others can read or change the file: chmod 600 {shlex.quote(path)}")
            content = file.read(_LARGEST_FILE + 1)
    except OSError as exc:
        # The path is not repeated: a key may begin with a slash too.
        raise ValueError(f"the file that it names can't be read: {exc.strerror}") from None
    if len(content) > _LARGEST_FILE or not content.isascii():
        raise ValueError("the file that it names holds something else than keys")
    return content.decode("ascii")


class Keys:
    """Signs with the first of some keys, and verifies with all of them; false where there are none.

    Parameters
    ----------
    keys : sequence of str
        The setting ``WARREN_KEY``.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {hashlib.sha256(key.encode()).hexdigest()[:8]: key.encode() for key in reversed(keys)}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, what: Signed, content: bytes) -> str | None:
        """Return the signature of a content, ``<key's name>:<HMAC>``; None without a key."""
        if not self._keys:
            return None
        name = next(reversed(self._keys))
        return f"{name}:{_mac(self._keys[name], what, content)}"

    def is_of_another(self, signature: object) -> bool:
        """Say whether a signature was made with a key that is none of these, which may be right all the same."""
        name = signature.partition(":")[0] if isinstance(signature, str) else ""
        return bool(self._keys) and name != "" and name not in self._keys

    def problem(self, what: Signed, content: bytes, signature: object) -> str | None:
        """Return why a content is not to be believed, or None: it is signed by one of the keys, or there are none.

        Parameters
        ----------
        what : str
        content : bytes
        signature : object
            Whatever stands where the signature should.
        """
        if not self._keys:
            return None
        if signature is None or signature == "":
            return "is not signed"
        found = re.fullmatch("([0-9a-f]{8}):([0-9a-f]{64})", signature) if isinstance(signature, str) else None
        if found is None:
            return "has something else where its signature should be"
        if (key := self._keys.get(found[1])) is None:
            return f"is signed with another key ({found[1]}; WARREN_KEY here is {' or '.join(reversed(self._keys))})"
        if not hmac.compare_digest(_mac(key, what, content), found[2]):
            return "was changed after it was signed, or its signature is another's"
        return None


def _mac(key: bytes, what: Signed, content: bytes) -> str:
    return hmac.digest(key, what.encode() + b"\0" + content, "sha256").hex()


def signed_chunk(database: str | None, body: bytes) -> bytes:
    """Return what is signed of a message: its body, and the id of the database that it belongs to."""
    return f"{database or ''}\n".encode() + body


def signed_model(study_id: str, number: int, model: Mapping[str, Any]) -> bytes:
    """Return what is signed of a stored model: whose it is, its digest, and how it is read."""
    read = {name: model.get(name) for name in ("sha256", "format", "class", "facts")}
    return json.dumps([study_id, number, read], sort_keys=True).encode()


@functools.cache
def tell_unsigned() -> None:
    """Say, once in a process, that nothing is signed here."""
    logger.warning(
        "no WARREN_KEY: studies, chunks and models are not signed, so whoever may write to the broker or the database "
        "can pass off some of their own; docs/reliability.md says what holds then, and how to make a key"
    )
