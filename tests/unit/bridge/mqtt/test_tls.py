"""TLS towards the broker: from files and from PEM text, under another name, on AWS IoT Core's second port."""

import shutil
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.mqtt.tls import tls_context
from runtime.metrics import CERTIFICATE_EXPIRES, exposition
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttSettings
from tests.support.metrics import parsed

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(
    OPENSSL is None, reason="certificates for these tests are made with the openssl command"
)
NAME = "broker.internal"


@dataclass(frozen=True)
class Certificates:
    """A CA of its own, a server and a client certificate under it, and a second CA that signed nothing."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run([str(OPENSSL), *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for ca in ("ca", "other"):
        openssl("req", "-x509", *key, "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name in ("server", "client"):
        openssl("req", "-new", *key[:-2], "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{NAME}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    (folder / "junk.pem").write_text("-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n")
    return Certificates(folder)


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in MqttSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(**given: Any) -> MqttSettings:
    return MqttSettings.load(**{"mqtt_host": "127.0.0.1", "mqtt_port": 8883} | given)


def files(certificates: Certificates) -> dict[str, str]:
    return {
        "mqtt_ca_cert": certificates.path("ca.pem"),
        "mqtt_client_cert": certificates.path("client.pem"),
        "mqtt_client_key": certificates.path("client.key"),
    }


def texts(certificates: Certificates) -> dict[str, str]:
    return {
        "ca_cert_pem": certificates.text("ca.pem"),
        "client_cert_pem": certificates.text("client.pem"),
        "private_key_pem": certificates.text("client.key"),
    }


def try_handshake(certificates: Certificates, given: MqttSettings, **server: Any) -> tuple[Any, str | None]:
    """What the broker sees of the client: its certificate's subject, and the protocol chosen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    context.load_verify_locations(certificates.path("ca.pem"))
    context.verify_mode = server.get("verify_mode", ssl.CERT_REQUIRED)
    context.maximum_version = server.get("maximum_version", ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["x-amzn-mqtt-ca", "mqtt"])
    client_context = tls_context(given)
    assert client_context is not None
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    theirs.settimeout(20)

    def accept() -> tuple[Any, str | None]:
        with context.wrap_socket(theirs, server_side=True) as accepted:
            return (accepted.getpeercert() or {}).get("subject"), accepted.selected_alpn_protocol()

    with ThreadPoolExecutor(1) as threads, ours, theirs:
        seen = threads.submit(accept)
        try:
            # As paho calls it, with the host that it connects to.
            with client_context.wrap_socket(ours, server_hostname=given.mqtt_host):
                return seen.result()
        finally:
            ours.close()
            seen.exception()


CLIENT = ((("commonName", "client"),),)


@pytest.mark.parametrize("source", [files, texts])
def test_files_and_pem_text_lead_to_the_same_handshake(certificates: Certificates, source: Any) -> None:
    assert try_handshake(certificates, settings(**source(certificates), mqtt_tls_server_name=NAME)) == (CLIENT, None)


def test_pem_text_may_be_one_line(certificates: Certificates) -> None:
    one_line = {name: text.replace("\n", "\\n") for name, text in texts(certificates).items()}
    assert try_handshake(certificates, settings(**one_line, mqtt_tls_server_name=NAME))[0] == CLIENT


def test_pem_text_wins_over_a_file(certificates: Certificates) -> None:
    wrong = {"mqtt_ca_cert": certificates.path("other.pem"), "mqtt_client_cert": "none", "mqtt_client_key": "none"}
    assert try_handshake(certificates, settings(**texts(certificates), **wrong, mqtt_tls_server_name=NAME))[0] == CLIENT


@pytest.mark.parametrize("as_text", ["client_cert_pem", "private_key_pem"])
def test_certificate_and_key_may_come_from_different_places(certificates: Certificates, as_text: str) -> None:
    file = {"client_cert_pem": "mqtt_client_cert", "private_key_pem": "mqtt_client_key"}[as_text]
    mixed = files(certificates) | {file: "", as_text: texts(certificates)[as_text]}
    assert try_handshake(certificates, settings(**mixed, mqtt_tls_server_name=NAME))[0] == CLIENT


def test_a_broker_under_another_name_or_ca_is_refused(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        try_handshake(certificates, settings(**files(certificates)))
    with pytest.raises(ssl.SSLCertVerificationError):
        try_handshake(certificates, settings(**files(certificates), mqtt_tls_server_name="elsewhere.internal"))
    other = files(certificates) | {"mqtt_ca_cert": certificates.path("other.pem")}
    with pytest.raises(ssl.SSLCertVerificationError):
        try_handshake(certificates, settings(**other, mqtt_tls_server_name=NAME))


def test_the_name_connected_to_counts_when_no_other_is_set(certificates: Certificates) -> None:
    assert try_handshake(certificates, settings(**files(certificates), mqtt_host=NAME))[0] == CLIENT


def test_a_user_name_needs_no_client_certificate(certificates: Certificates) -> None:
    given = settings(mqtt_ca_cert=certificates.path("ca.pem"), mqtt_username="u", mqtt_tls_server_name=NAME)
    assert try_handshake(certificates, given, verify_mode=ssl.CERT_NONE) == (None, None)


@pytest.mark.parametrize(("port", "protocol"), [(443, "x-amzn-mqtt-ca"), (8883, None)])
def test_port_443_is_mqtt_by_its_protocol_name(certificates: Certificates, port: int, protocol: str | None) -> None:
    given = settings(**files(certificates), mqtt_port=port, mqtt_tls_server_name=NAME)
    assert try_handshake(certificates, given)[1] == protocol


def test_nothing_below_tls_1_2_is_spoken(certificates: Certificates) -> None:
    context = tls_context(settings(**files(certificates)))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_without_tls_there_is_no_context() -> None:
    assert tls_context(settings(mqtt_use_tls=False)) is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"mqtt_ca_cert": "/nowhere/ca.pem"}, "MQTT_CA_CERT"),
        ({"mqtt_ca_cert": "."}, "MQTT_CA_CERT"),
        ({"mqtt_ca_cert": "junk.pem"}, "MQTT_CA_CERT"),
        ({"ca_cert_pem": "no certificate"}, "CA_CERT_PEM"),
        ({"mqtt_client_cert": "/nowhere/client.pem"}, "MQTT_CLIENT_CERT"),
        ({"mqtt_client_cert": "junk.pem"}, "MQTT_CLIENT_CERT"),
        ({"mqtt_client_key": "/nowhere/client.key"}, "MQTT_CLIENT_KEY"),
        ({"mqtt_client_key": "server.key"}, "MQTT_CLIENT_KEY"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_setting(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], named: str
) -> None:
    monkeypatch.chdir(certificates.folder)
    with pytest.raises(SettingsError, match=named):
        tls_context(settings(**files(certificates) | wrong))


@pytest.mark.parametrize(("source", "names"), [(files, ["MQTT_CA_CERT", "MQTT_CLIENT_CERT"]), (texts, ["CA_CERT_PEM"])])
def test_when_certificates_end_is_shown_by_their_setting(
    certificates: Certificates, source: Any, names: list[str]
) -> None:
    CERTIFICATE_EXPIRES.clear()
    assert tls_context(settings(**source(certificates)))
    shown = parsed(exposition().decode())["gateway_certificate_expires_timestamp_seconds"]
    for name in names:
        assert 1.9 < (shown[name,] - time.time()) / 86_400 < 2.1


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
def test_pem_text_is_never_on_the_disk(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert tls_context(settings(**texts(certificates)))


def test_pem_text_leaves_nothing_on_the_disk(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert tls_context(settings(**texts(certificates)))
    with pytest.raises(SettingsError):
        tls_context(settings(**texts(certificates) | {"private_key_pem": certificates.text("server.key")}))
    assert list(tmp_path.iterdir()) == []
