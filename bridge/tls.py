"""The TLS context towards the MQTT broker, from files or from PEM text in the environment."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schemas.mqtt_settings import MqttSettings
from schemas.settings import SettingsError

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
        SettingsError: a file is missing or is no certificate; the message names the setting.
    """
    if not settings.mqtt_use_tls:
        return None
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = settings.mqtt_tls_server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Bundles may hold comments in any language; the certificates are ASCII.
    pem = settings.ca_cert_pem.get_secret_value().encode("ascii", "ignore").decode()
    name = "CA_CERT_PEM" if pem else "MQTT_CA_CERT"
    try:
        context.load_verify_locations(cafile=None if pem else settings.mqtt_ca_cert, cadata=pem or None)
        if settings.mqtt_client_cert or settings.client_cert_pem.get_secret_value():
            name = _client_names(settings)
            with _client_files(settings) as (certificate, key):
                # A key under a pass phrase is an error, not a question at the terminal.
                context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name} cannot be used: {error}") from None
    if settings.mqtt_port == _AWS_IOT_TLS_PORT:
        # AWS IoT Core tells MQTT from HTTPS on this port by the protocol name.
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    return context


def _client_names(settings: MqttSettings) -> str:
    certificate = "CLIENT_CERT_PEM" if settings.client_cert_pem.get_secret_value() else "MQTT_CLIENT_CERT"
    key = "PRIVATE_KEY_PEM" if settings.private_key_pem.get_secret_value() else "MQTT_CLIENT_KEY"
    return f"{certificate} or {key}"


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
