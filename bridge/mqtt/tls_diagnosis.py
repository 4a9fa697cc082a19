"""Why a broker does not let us in over TLS: paho says only that the connection was lost."""

import asyncio
import socket
import ssl
from contextlib import suppress

from bridge.mqtt.tls import setting_names, tls_context
from runtime.tls import explain_tls_error
from schemas.settings.mqtt import MqttSettings

_PATIENCE_SECONDS = 5.0
_SAYS_WITHIN_SECONDS = 1.5


async def diagnose_mqtt_tls(settings: MqttSettings) -> str | None:
    """Shake hands once, and say which setting is at fault; None where that went well, or nobody answered.

    Raises:
        SettingsError: a file cannot be used, or has expired.
    """
    try:
        await try_handshake(settings)
    except OSError as error:
        return explain_tls_error(error, setting_names(settings)) if isinstance(error, ssl.SSLError) else None
    return None


async def try_handshake(settings: MqttSettings) -> None:
    """Let the broker see our certificate and see its own, and leave: no session of anybody is touched.

    Raises:
        ssl.SSLError: one of the two was not accepted.
        OSError: nobody answered, or the connection was closed without a word.
        SettingsError: a file cannot be used, or has expired.
    """
    context = tls_context(settings)
    if context is not None:
        await asyncio.to_thread(_handshake, settings, context)


def _handshake(settings: MqttSettings, context: ssl.SSLContext) -> None:
    address = (settings.mqtt_host, settings.mqtt_port)
    try:
        with (
            socket.create_connection(address, timeout=_PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=settings.mqtt_host) as secured,
        ):
            # With TLS 1.3 the broker looks at our certificate only after we believe to be done.
            secured.settimeout(_SAYS_WITHIN_SECONDS)
            with suppress(TimeoutError):
                secured.recv(1)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise ConnectionResetError("the connection was closed") from error
