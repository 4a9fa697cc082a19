"""Why a broker does not let us in over TLS: paho says only that the connection was lost."""

import asyncio
import socket
import ssl

from bridge.tls import names_of, tls_context
from runtime.tls import explain
from schemas.mqtt_settings import MqttSettings

_PATIENCE_SECONDS = 5.0
# The first packet has to be a CONNECT: with anything else the broker closes the connection, and no session is touched.
_DISCONNECT = b"\xe0\x00"


async def why_refused(settings: MqttSettings) -> str | None:
    """Shake hands once, and say which setting is at fault; None where nothing is wrong with TLS, or nobody listens.

    Raises:
        SettingsError: a file cannot be used, or has expired.
    """
    context = tls_context(settings)
    if context is None:
        return None
    try:
        await asyncio.to_thread(_shake_hands, settings, context)
    except ssl.SSLError as error:
        return explain(error, names_of(settings))
    except OSError:
        return None
    return None


def _shake_hands(settings: MqttSettings, context: ssl.SSLContext) -> None:
    address = (settings.mqtt_host, settings.mqtt_port)
    with (
        socket.create_connection(address, timeout=_PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=settings.mqtt_host) as secured,
    ):
        # With TLS 1.3 the broker looks at our certificate only after we believe to be done, and says so when we read.
        secured.sendall(_DISCONNECT)
        secured.recv(1)
