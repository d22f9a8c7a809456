"""TLS: verified by default, against which authorities, and what an error says."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from warren.broker import explain, parameters
from warren.errors import BrokerError, InputError
from warren.settings import Settings
from warren.tls import advice, context, mongo_options


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


def settings(**values: Any) -> Settings:
    return Settings(**{"AMQP_URL": "amqps://ann:s3cret@broker.example/%2F"} | values)


def test_a_broker_s_certificate_and_name_are_verified_by_default() -> None:
    found = parameters(settings(), "test")
    assert found.port == 5671
    assert found.ssl_options.context.verify_mode == ssl.CERT_REQUIRED
    assert found.ssl_options.context.check_hostname
    assert found.ssl_options.server_hostname is None, "that of the URL"
    assert found.ssl_options.context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert parameters(Settings(AMQP_URL="amqp://h"), "test").ssl_options is None


def test_a_private_authority_is_trusted_alone(ca_file: str) -> None:
    found = parameters(settings(WARREN_CA_FILE=ca_file), "test").ssl_options.context
    assert found.verify_mode == ssl.CERT_REQUIRED
    assert found.check_hostname
    assert len(found.get_ca_certs()) == 1


def test_a_url_may_name_its_own_authority(ca_file: str) -> None:
    url = f"amqps://ann:s3cret@broker.example/%2F?ssl_options={{'cafile': '{ca_file}', 'server_hostname': 'mq'}}"
    found = parameters(settings(AMQP_URL=url, WARREN_CA_FILE="/nowhere"), "test").ssl_options
    assert found.server_hostname == "mq"
    assert found.context.verify_mode == ssl.CERT_REQUIRED
    assert len(found.context.get_ca_certs()) == 1


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS:DeprecationWarning")
@pytest.mark.parametrize("protocol", [2, 5])  # PROTOCOL_TLS, PROTOCOL_TLSv1_2: pika's contexts of these verify nothing
def test_a_url_can_not_switch_verification_off(ca_file: str, protocol: int) -> None:
    url = f"amqps://ann:s3cret@h/%2F?ssl_options={{'protocol': {protocol}, 'cafile': '{ca_file}'}}"
    with pytest.raises(BrokerError, match="disable the verification of certificates: remove 'protocol'") as caught:
        parameters(settings(AMQP_URL=url), "test")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "options", ["{'cafile'", "{}", "{'cafile': '/nowhere/s3cret'}", "nonsense", "{'protocol': 's3cret'}", "3"]
)
def test_options_that_can_not_be_used_are_one_error(options: str) -> None:
    with pytest.raises(BrokerError, match="^AMQP_URL 'amqps://ann:\\*\\*\\*@h/%2F' can't be read") as caught:
        parameters(settings(AMQP_URL=f"amqps://ann:s3cret@h/%2F?ssl_options={options}"), "test")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_of_authorities_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for file, why in (("/nowhere/ca.pem", "No such file"), (str(empty), "NO_CERTIFICATE|no certificate")):
        with pytest.raises(InputError, match=rf"^WARREN_CA_FILE='{file}' can't be used \(.*({why})"):
            context(settings(WARREN_CA_FILE=file))
        with pytest.raises(BrokerError, match="WARREN_CA_FILE"):
            parameters(settings(WARREN_CA_FILE=file), "test")


@pytest.mark.parametrize(
    ("url", "takes"),
    [
        ("mongodb://h/tuning?tls=true", True),
        ("mongodb://h/tuning?ssl=TRUE&w=1", True),
        ("mongodb+srv://h/tuning", True),
        ("mongodb+srv://h/tuning?tls=false", False),
        ("mongodb://h/tuning", False),
        ("mongodb://h/tuning?tls=false", False),
        ("mongodb://h/tuning?tls=true&tlsCAFile=/other.pem", False),
    ],
)
def test_mongodb_takes_the_authority_where_it_speaks_tls_and_names_none(ca_file: str, url: str, takes: bool) -> None:
    found = mongo_options(settings(MONGO_URL=url, WARREN_CA_FILE=ca_file))
    assert found == ({"tlsCAFile": ca_file} if takes else {})
    assert mongo_options(settings(MONGO_URL=url)) == {}


def verification(message: str) -> ssl.SSLError:
    return ssl.SSLCertVerificationError(
        1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {message} (_ssl.c:1)"
    )


@pytest.mark.parametrize(
    ("exc", "said"),
    [
        (
            verification("unable to get local issuer certificate"),
            "from an authority that is not trusted.*name the PEM file of its",
        ),
        (verification("self-signed certificate"), "not trusted .*; trusted are this machine's"),
        (verification("Hostname mismatch, certificate is not valid for 'h'."), "is not for this name .*'h'"),
        (verification("IP address mismatch, certificate is not valid for '::1'."), "use a name of the certificate"),
        (verification("certificate has expired"), "get a new one, and check the clocks"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"),
            "that port does not use TLS",
        ),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert (_ssl.c:1)"), "TLSV1_ALERT_PROTOCOL_VERSION"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "TLS failed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_error_says_what_to_do_about_a_certificate(exc: ssl.SSLError, said: str) -> None:
    with pytest.raises(BrokerError, match=said) as caught:
        raise explain(settings(), exc)
    assert str(caught.value).startswith("RabbitMQ at amqps://ann:***@broker.example")
    # pymongo has but the text, inside its own.
    inside = OSError(f"SSL handshake failed: h:27017: {exc} (configured timeouts: ...), Timeout: 3.0s")
    assert advice(inside, settings()) is not None


def test_a_connection_that_breaks_off_is_no_fault_of_its_certificate() -> None:
    for exc in (ConnectionResetError(104, "reset"), OSError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF (_ssl.c:1)")):
        assert advice(exc, settings()) is None
