"""Signatures: proof that an owner of ``WARREN_KEY`` wrote a content, unchanged since.

Those who submit studies, workers and readers share the key; neither the broker nor the database
knows it. So content of the broker or the database, which others can write, is trusted only because
of its signature: HMAC-SHA256 (https://www.rfc-editor.org/rfc/rfc2104) of the content and its kind,
so that a signed model can't pass as a signed chunk.
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
"""The kinds of content that are signed."""

# 32 hexadecimal digits are 128 bits, which can't be guessed.
_SHORTEST_KEY = 32
_KEY = re.compile(rf"[A-Za-z0-9+/=_-]{{{_SHORTEST_KEY},}}")
_MOST_KEYS = 2
# Bytes of a file of keys; a larger file is something else.
_LARGEST_FILE = 4096
_MAKE = "`openssl rand -hex 32` makes one"


def new_key() -> str:
    """Return a new key: 256 bits as hexadecimal text, which needs no quotes in shells and files."""
    return secrets.token_hex(32)


def read_keys(written: str) -> tuple[str, ...]:
    """Return the keys in the setting ``WARREN_KEY``: the first one signs, all verify.

    Parameters
    ----------
    written : str
        One key, or two separated by a comma or a line break; or the whole path of a file with one
        key per line, which only its owner can read.

    Returns
    -------
    tuple of str
        The keys.

    Raises
    ------
    ValueError
        The file does not exist or others can read it; a key is too short, or there are too many.
        The text repeats no key.
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
        raise ValueError(f"it has {len(keys)} keys: use one, or two while the key is changed, of which the first signs")
    return keys


def _content(path: str) -> str:
    """Return the content of a file of keys that only its owner can read."""
    try:
        # Without O_NONBLOCK, a named pipe would block until another process writes to it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            # Check the open file, not the path, so that it can't be replaced in between.
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError("it does not name a file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"others can read or change the file: chmod 600 {shlex.quote(path)}")
            content = file.read(_LARGEST_FILE + 1)
    except OSError as exc:
        # Don't repeat the path: a key may begin with a slash too.
        raise ValueError(f"the file that it names can't be read: {exc.strerror}") from None
    if len(content) > _LARGEST_FILE or not content.isascii():
        raise ValueError("the file that it names contains something other than keys")
    return content.decode("ascii")


class Keys:
    """Signs with the first key, and verifies with all of them; false if there are none.

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
        """Return whether a signature was made with none of these keys.

        It may still be valid for another.
        """
        name = signature.partition(":")[0] if isinstance(signature, str) else ""
        return bool(self._keys) and name != "" and name not in self._keys

    def problem(self, what: Signed, content: bytes, signature: object) -> str | None:
        """Return why a content must not be trusted.

        None if a key signed it, or if there are no keys.

        Parameters
        ----------
        what : str
            The kind of content.
        content : bytes
            The signed content.
        signature : object
            The value in the place of the signature.

        Returns
        -------
        str or None
            The end of a sentence.
        """
        if not self._keys:
            return None
        if signature is None or signature == "":
            return "is not signed"
        found = re.fullmatch("([0-9a-f]{8}):([0-9a-f]{64})", signature) if isinstance(signature, str) else None
        if found is None:
            return "has something other than a signature in its place"
        if (key := self._keys.get(found[1])) is None:
            return f"is signed with another key ({found[1]}; WARREN_KEY here is {' or '.join(reversed(self._keys))})"
        if not hmac.compare_digest(_mac(key, what, content), found[2]):
            return "was changed after it was signed, or has the signature of another content"
        return None


def _mac(key: bytes, what: Signed, content: bytes) -> str:
    return hmac.digest(key, what.encode() + b"\0" + content, "sha256").hex()


def signed_chunk(database: str | None, body: bytes) -> bytes:
    """Return the signed content of a message: its body, and the id of its database."""
    return f"{database or ''}\n".encode() + body


def signed_model(study_id: str, number: int, model: Mapping[str, Any]) -> bytes:
    """Return the signed content of a stored model: study, trial, digest, and how to read it."""
    read = {name: model.get(name) for name in ("sha256", "format", "class", "facts")}
    return json.dumps([study_id, number, read], sort_keys=True).encode()


@functools.cache
def tell_unsigned() -> None:
    """Warn, once in a process, that nothing is signed here."""
    logger.warning(
        "no WARREN_KEY: studies, chunks and models are not signed, so anyone who may write to the broker or the "
        "database can replace them; docs/reliability.md tells what still holds then, and how to make a key"
    )
