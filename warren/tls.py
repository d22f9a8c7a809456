"""TLS to the servers, which always verifies certificate and host name.

It also explains failed connections, because both drivers report them as a chain of their own
exceptions.
"""

from __future__ import annotations

import re
import ssl
from typing import Any
from urllib.parse import parse_qsl

from warren.errors import InputError
from warren.settings import Settings

# OpenSSL's errors in Python look like "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:
# why (_ssl.c:1006)".
_UNVERIFIED = re.compile(r"certificate verify failed: ([^(\n]{1,200})")
_HANDSHAKE = re.compile("SSL handshake failed|CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE")
_NAMED = re.compile(r"\[SSL: ([A-Z0-9_]{1,80})\]")


def context(settings: Settings) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name.

    Parameters
    ----------
    settings : Settings
        The file of authorities, which are then the only trusted ones; without a file, those of the
        machine.

    Returns
    -------
    ssl.SSLContext
        With TLS 1.2 or later.

    Raises
    ------
    InputError
        The file can't be read, or contains no certificates.
    """
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as exc:  # also an SSLError, if it contains no certificates
        raise InputError(
            f"WARREN_CA_FILE={settings.ca_file!r} can't be used ({exc.strerror or type(exc).__name__}): name a file of "
            "PEM certificates"
        ) from None
    # Some systems set no lower bound.
    made.minimum_version = max(made.minimum_version, ssl.TLSVersion.TLSv1_2)
    return made


def check_verifies(found: ssl.SSLContext) -> None:
    """Refuse a context that would accept any certificate.

    Raises
    ------
    InputError
        The context does not verify certificate or host name.
    """
    if found.verify_mode != ssl.CERT_REQUIRED or not found.check_hostname:
        raise InputError(
            "ssl_options in AMQP_URL disable the verification of certificates: remove 'protocol', and name a "
            "private authority's file in WARREN_CA_FILE"
        )


def mongo_options(settings: Settings) -> dict[str, Any]:
    """Return options for MongoClient: the file of authorities, if the URL needs it.

    Parameters
    ----------
    settings : Settings
        The URL and the file.

    Returns
    -------
    dict of str to str
        The options.

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
    context(settings)  # to raise a clearer error than the driver
    return {"tlsCAFile": settings.ca_file}


def advice(exc: BaseException, settings: Settings) -> str | None:
    """Return what to do about a failed TLS connection.

    Parameters
    ----------
    exc : Exception
        The driver's error. pymongo keeps only the text of OpenSSL's error.
    settings : Settings
        The trusted authorities.

    Returns
    -------
    str or None
        None if TLS is not the cause.
    """
    text = str(exc)
    # TLS is not the cause of a connection that breaks later, although OpenSSL reports that too.
    if not isinstance(exc, ssl.SSLError) and not _HANDSHAKE.search(text):
        return None
    if unverified := _UNVERIFIED.search(text):
        reason = unverified[1].strip(" .")
        if "not valid for" in reason or "mismatch" in reason:
            return (
                f"its certificate is not for this name ({reason}): use a name of the certificate in the URL, or get "
                "a certificate for this one"
            )
        if "expired" in reason or "not yet valid" in reason:
            return f"its certificate is refused ({reason}): get a new one, and check the clocks"
        trusted = f"those in WARREN_CA_FILE={settings.ca_file}" if settings.ca_file else "this machine's"
        return (
            f"its certificate comes from an authority that is not trusted ({reason}); trusted are {trusted}: name the "
            "PEM file of its authority in WARREN_CA_FILE"
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return "that port does not use TLS: check the port, or use the URL without TLS"
    named = _NAMED.search(text)
    return f"TLS failed ({named[1] if named else text[:100]}): check the server's certificate and its versions of TLS"
