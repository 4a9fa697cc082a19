"""The TLS context towards the MQTT broker, from files or from PEM text in the environment."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from runtime.tls import TlsSettingNames, load_ca, load_client
from schemas.settings.mqtt import MqttSettings

_AWS_IOT_TLS_PORT = 443


class _Context(ssl.SSLContext):
    """Can expect another name in the broker's certificate than the host that it connects to."""

    server_name: str = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        if self.server_name:
            kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **kwargs)


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return the TLS context; None if TLS is off.

    Raises:
        SettingsError: a file is missing, is no certificate, or has expired; the message names the setting.
    """
    if not settings.mqtt_use_tls:
        return None
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = settings.mqtt_tls_server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    names = setting_names(settings)
    load_ca(context, names, settings.mqtt_ca_cert, settings.ca_cert_pem.get_secret_value())
    if settings.mqtt_client_cert or settings.client_cert_pem.get_secret_value():
        with _client_files(settings) as (certificate, key):
            load_client(context, names, certificate, key)
    if settings.mqtt_port == _AWS_IOT_TLS_PORT:
        # On this port AWS IoT Core expects the protocol name of MQTT.
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    return context


def setting_names(settings: MqttSettings) -> TlsSettingNames:
    """Return the names of the settings in use: PEM text takes precedence over files."""
    return TlsSettingNames(
        what="MQTT broker",
        ca="CA_CERT_PEM" if settings.ca_cert_pem.get_secret_value() else "MQTT_CA_CERT",
        certificate="CLIENT_CERT_PEM" if settings.client_cert_pem.get_secret_value() else "MQTT_CLIENT_CERT",
        key="PRIVATE_KEY_PEM" if settings.private_key_pem.get_secret_value() else "MQTT_CLIENT_KEY",
        host="MQTT_TLS_SERVER_NAME",
        switch="MQTT_USE_TLS",
    )


@contextmanager
def _client_files(settings: MqttSettings) -> Iterator[tuple[str, str]]:
    """Yield the paths of certificate and key; OpenSSL reads files only."""
    certificate, key = settings.client_cert_pem.get_secret_value(), settings.private_key_pem.get_secret_value()
    with (
        _as_file(certificate) if certificate else nullcontext(settings.mqtt_client_cert) as certificate_file,
        _as_file(key) if key else nullcontext(settings.mqtt_client_key) as key_file,
    ):
        yield certificate_file, key_file


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Yield the path of a private file with the text; on Linux in memory, so that a kill leaves no file behind."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("pem"), "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
            file.write(text)
            file.flush()
            yield file.name
