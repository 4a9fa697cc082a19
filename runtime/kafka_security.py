"""TLS and login of all Kafka clients, and the reason why Kafka refuses one."""

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

_CHECK_SECONDS = 5
_REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)

NAMES = TlsSettingNames(
    what="Kafka server",
    ca="KAFKA_CA_CERT",
    certificate="KAFKA_CLIENT_CERT",
    key="KAFKA_CLIENT_KEY",
    host="KAFKA_BOOTSTRAP_SERVERS",
    switch="KAFKA_SECURITY_PROTOCOL",
)


@lru_cache(maxsize=8)
def kafka_tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Return the TLS context for Kafka, one per process; None if the protocol has no TLS.

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
    """Return the security options of aiokafka's clients; raises SettingsError as `kafka_tls_context` does."""
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
    """Check at start that Kafka accepts our certificate or login, if the settings use TLS or SASL.

    For processes that start without waiting for Kafka; an unreachable Kafka is no error.

    Raises:
        SettingsError: Kafka refuses us; the message names the setting.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_CHECK_SECONDS):
            if refusal := await diagnose_kafka_access(settings):
                raise SettingsError(refusal)


async def diagnose_kafka_access(settings: KafkaSettings) -> str | None:
    """Return why Kafka refuses us; None if it accepts us or no server is reachable.

    The errors of aiokafka's clients do not contain the reason.
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
                f"Kafka refuses the login: {error}; "
                "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
            )
        except (KafkaError, OSError):
            continue
        connection.close()
        return None
    return None
