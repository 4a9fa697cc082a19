"""Who we are to the log, and whom we trust there: the same for every client of it."""

import asyncio
import ssl
from contextlib import suppress
from functools import lru_cache
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from runtime.tls import TlsSettingNames, explain_tls_error, load_ca, load_client
from schemas.settings.blocks import KafkaSettings, SettingsError

_LOOK_SECONDS = 5
_REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)

NAMES = TlsSettingNames(
    what="log",
    ca="KAFKA_CA_CERT",
    certificate="KAFKA_CLIENT_CERT",
    key="KAFKA_CLIENT_KEY",
    host="KAFKA_BOOTSTRAP_SERVERS",
    switch="KAFKA_SECURITY_PROTOCOL",
)


@lru_cache(maxsize=8)
def kafka_tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Build the TLS context towards the log, once a process; None where the protocol has no TLS.

    Raises:
        SettingsError: a file cannot be used; the message names the setting.
    """
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_ca(context, NAMES, settings.kafka_ca_cert)
    if settings.kafka_client_cert:
        load_client(context, NAMES, settings.kafka_client_cert, settings.kafka_client_key)
    return context


def security_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return what aiokafka's clients are told of security; raises SettingsError as `kafka_tls_context`."""
    options: dict[str, Any] = {
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": kafka_tls_context(settings),
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return options


async def check_kafka_access(settings: KafkaSettings) -> None:
    """Look at the start whether the log lets us in, where the settings ask for TLS or a login.

    For who does not wait for the log before it begins. One that is away is no matter here.

    Raises:
        SettingsError: it does not; the message names the setting.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_SECONDS):
            refused = await diagnose_kafka_access(settings)
            if refused is not None:
                raise SettingsError(refused)


async def diagnose_kafka_access(settings: KafkaSettings) -> str | None:
    """Say why the log does not let us in; None where it does, or where no server of it can be reached.

    aiokafka's clients keep to themselves why they could not connect.
    """
    for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers):
        try:
            connection = await create_conn(
                host, port, request_timeout_ms=round(settings.kafka_timeout * 1000), **security_options(settings)
            )
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            continue
        except ssl.SSLError as error:
            return explain_tls_error(error, NAMES)
        except _REFUSALS as error:
            return (
                f"the log refuses the login: {error}; "
                "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
            )
        except (KafkaError, OSError):
            continue
        connection.close()
        return None
    return None
