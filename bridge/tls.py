"""The TLS context towards the MQTT broker, from files or from PEM text in the environment."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.tls import TlsNames, load_ca, load_client
from schemas.mqtt_settings import MqttSettings

_AWS_IOT_TLS_PORT = 443


class _Context(ssl.SSLContext):
    """A context that can expect another name in the broker's certificate than the one it connects to."""

    server_name: str = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        if self.server_name:
            kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **kwargs)


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Build the context, or return None without TLS.

    Raises:
        SettingsError: a file is missing, is no certificate, or has expired; the message names the setting.
    """
    if not settings.mqtt_use_tls:
        return None
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = settings.mqtt_tls_server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    names = names_of(settings)
    load_ca(context, names, settings.mqtt_ca_cert, settings.ca_cert_pem.get_secret_value())
    if settings.mqtt_client_cert or settings.client_cert_pem.get_secret_value():
        with _client_files(settings) as (certificate, key):
            load_client(context, names, certificate, key)
    if settings.mqtt_port == _AWS_IOT_TLS_PORT:
        # AWS IoT Core tells MQTT from HTTPS on this port by the protocol name.
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    return context


def names_of(settings: MqttSettings) -> TlsNames:
    """Name the settings that count: PEM text wins over the files."""
    return TlsNames(
        what="MQTT broker",
        ca="CA_CERT_PEM" if settings.ca_cert_pem.get_secret_value() else "MQTT_CA_CERT",
        certificate="CLIENT_CERT_PEM" if settings.client_cert_pem.get_secret_value() else "MQTT_CLIENT_CERT",
        key="PRIVATE_KEY_PEM" if settings.private_key_pem.get_secret_value() else "MQTT_CLIENT_KEY",
        host="MQTT_TLS_SERVER_NAME",
        switch="MQTT_USE_TLS",
    )


@contextmanager
def _client_files(settings: MqttSettings) -> Iterator[tuple[str, str]]:
    """Name certificate and key as files, for OpenSSL takes no text; PEM text is on disk only inside, mode 0600."""
    texts = (settings.client_cert_pem.get_secret_value(), settings.private_key_pem.get_secret_value())
    files = (settings.mqtt_client_cert, settings.mqtt_client_key)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, (text, file) in enumerate(zip(texts, files, strict=True)):
            path = Path(folder) / str(index)
            if text:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as handle:
                    handle.write(text)
            paths.append(str(path) if text else file)
        yield paths[0], paths[1]
