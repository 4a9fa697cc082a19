"""Why a TLS connection to the broker fails; paho reports only that the connection was lost."""

import asyncio
import socket
import ssl
from contextlib import suppress

from bridge.mqtt.tls import setting_names, tls_context
from runtime.tls import explain_tls_error
from schemas.settings.mqtt import MqttSettings

_CONNECT_SECONDS = 5.0
_REFUSAL_SECONDS = 1.5


async def diagnose_mqtt_tls(settings: MqttSettings) -> str | None:
    """Try one TLS handshake; return which setting is wrong, or None if it succeeds or the broker does not answer.

    Raises:
        SettingsError: a file cannot be used, or has expired.
    """
    try:
        await try_handshake(settings)
    except OSError as error:
        return explain_tls_error(error, setting_names(settings)) if isinstance(error, ssl.SSLError) else None
    return None


async def try_handshake(settings: MqttSettings) -> None:
    """Exchange certificates with the broker and disconnect; no MQTT session is affected.

    Raises:
        ssl.SSLError: one of the two certificates was not accepted.
        OSError: the broker did not answer, or closed the connection without a TLS alert.
        SettingsError: a file cannot be used, or has expired.
    """
    context = tls_context(settings)
    if context is not None:
        await asyncio.to_thread(_handshake, settings, context)


def _handshake(settings: MqttSettings, context: ssl.SSLContext) -> None:
    address = (settings.mqtt_host, settings.mqtt_port)
    try:
        with (
            socket.create_connection(address, timeout=_CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=settings.mqtt_host) as secured,
        ):
            # With TLS 1.3 the broker checks our certificate after the handshake has ended for us.
            secured.settimeout(_REFUSAL_SECONDS)
            with suppress(TimeoutError):
                secured.recv(1)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise ConnectionResetError("the connection was closed") from error
