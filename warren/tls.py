"""TLS to the servers: certificate and host name are always verified, by the machine's authorities or a private one.

What is wrong with a connection is said here too, since both drivers report it as a chain of their own exceptions.
"""

from __future__ import annotations

import re
import ssl
from typing import Any
from urllib.parse import parse_qsl

from warren.errors import InputError
from warren.settings import Settings

# How OpenSSL's errors read in Python: "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: why (_ssl.c:1006)".
_UNVERIFIED = re.compile(r"certificate verify failed: ([^(\n]{1,200})")
_HANDSHAKE = re.compile("SSL handshake failed|CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE")
_NAMED = re.compile(r"\[SSL: ([A-Z0-9_]{1,80})\]")


def context(settings: Settings) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name.

    Parameters
    ----------
    settings : Settings
        Name the file of authorities to trust, and these alone; without one, those of the machine.

    Raises
    ------
    InputError
        The file can't be read, or holds no certificates.
    """
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as exc:  # also SSLError, where it holds no certificates
        raise InputError(
            f"WARREN_CA_FILE={settings.ca_file!r} can't be used ({exc.strerror or type(exc).__name__}): name a file of "
            "PEM certificates"
        ) from None
    # Not every system sets a lower bound of its own.
    made.minimum_version = max(made.minimum_version, ssl.TLSVersion.TLSv1_2)
    return made


def check_verifies(found: ssl.SSLContext) -> None:
    """Refuse a context that would take any certificate.

    Raises
    ------
    InputError
    """
    if found.verify_mode != ssl.CERT_REQUIRED or not found.check_hostname:
        raise InputError(
            "ssl_options in AMQP_URL switch the verification of certificates off: leave 'protocol' out, and name a "
            "private authority's file in WARREN_CA_FILE"
        )


def mongo_options(settings: Settings) -> dict[str, Any]:
    """Return what MongoClient needs beside its URL: the file of authorities, where the URL asks for TLS and names none.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    dict of str to str

    Raises
    ------
    InputError
        The file can't be used.
    """
    scheme, _, rest = settings.mongo_url.partition("://")
    options = {key.lower(): value.lower() for key, value in parse_qsl(rest.partition("?")[2])}
    default = "true" if scheme.endswith("+srv") else "false"
    wanted = options.get("tls", options.get("ssl", default)) == "true"
    if not settings.ca_file or not wanted or "tlscafile" in options:
        return {}
    context(settings)  # the driver says less of a file that it can't use
    return {"tlsCAFile": settings.ca_file}


def advice(exc: BaseException, settings: Settings) -> str | None:
    """Say what to do about a TLS connection that failed.

    Parameters
    ----------
    exc : Exception
        What a driver raised. pymongo keeps but the text of what OpenSSL said.
    settings : Settings
        Say which authorities were trusted.

    Returns
    -------
    str or None
        None where it is no fault of TLS.
    """
    text = str(exc)
    # A connection that breaks off later is no fault of TLS, though OpenSSL reports that one too.
    if not isinstance(exc, ssl.SSLError) and not _HANDSHAKE.search(text):
        return None
    if unverified := _UNVERIFIED.search(text):
        reason = unverified[1].strip(" .")
        if "not valid for" in reason or "mismatch" in reason:
            return (
                f"its certificate is not for this name ({reason}): put a name of the certificate into the URL, or have "
                "a certificate made for this one"
            )
        if "expired" in reason or "not yet valid" in reason:
            return f"its certificate is refused ({reason}): have a new one made, and check the clocks"
        trusted = f"those in WARREN_CA_FILE={settings.ca_file}" if settings.ca_file else "this machine's"
        return (
            f"its certificate comes from none of the authorities that are trusted, {trusted} ({reason}): name the PEM "
            "file of its own authority in WARREN_CA_FILE"
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return "no TLS is spoken at that port: check the port, or leave TLS out of the URL"
    named = _NAMED.search(text)
    return f"TLS failed ({named[1] if named else text[:100]}): check the server's certificate and its versions of TLS"
