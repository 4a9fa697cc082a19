"""`gateway doctor`: every setting and every server looked at, with what to do where something is wrong."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

import aiomqtt
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError
from alembic.script import ScriptDirectory
from rich.console import Console

from bridge.mqtt.tls import setting_names, tls_context
from bridge.mqtt.tls_diagnosis import try_handshake
from gateway.diagnostics.api_auth import who_may_use_the_api
from gateway.diagnostics.reachability import connect_error
from migrations.run import alembic_config
from runtime.database import connect_options
from runtime.database_tls import diagnose_database_tls
from runtime.kafka import client_options, partition_counts
from runtime.kafka_security import diagnose_kafka_access
from runtime.tls import explain_tls_error
from schemas.base.errors import GatewayError
from schemas.settings.blocks import (
    ApiSettings,
    BridgeSettings,
    DatabaseSettings,
    DispatchSettings,
    KafkaSettings,
    LogSettings,
    RegistrySettings,
    StreamsSettings,
    TraceSettings,
    validate_all,
)
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

PATIENCE_SECONDS = 10

BLOCKS = (
    BridgeSettings,
    StreamsSettings,
    DispatchSettings,
    ApiSettings,
    MqttTopicSettings,
    LogSettings,
    RegistrySettings,
    TraceSettings,
)
"""What no check of a server looks at."""


class CheckFailed(Exception):  # noqa: N818 - what a check found, not an error of ours
    """What is wrong, and what to do."""


async def run_doctor() -> bool:
    """Run all checks side by side and print a line for each; returns whether all is well."""
    console = Console()
    outcomes = await asyncio.gather(*(_run(check) for _, check in CHECKS))
    for (name, _), (well, message) in zip(CHECKS, outcomes, strict=True):
        mark = "[green]✓[/green]" if well else "[red]✗[/red]"
        console.print(f"{mark} {name:10} ", end="")
        console.print(message, markup=False, highlight=False, soft_wrap=True)
    return all(well for well, _ in outcomes)


async def _run(check: Callable[[], Awaitable[str]]) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return True, await check()
    except (CheckFailed, GatewayError) as found:
        return False, str(found)
    except TimeoutError:
        return False, f"no answer within {PATIENCE_SECONDS} s; check the address, and that no firewall is in between"


async def _settings() -> str:
    validate_all(*BLOCKS)
    traces = TraceSettings.load()
    if (traces.trace_messages or traces.trace_commands) and find_spec("opentelemetry") is None:
        raise CheckFailed("TRACE_MESSAGES and TRACE_COMMANDS need OpenTelemetry; install grid-event-gateway[tracing]")
    return "no value is wrong"


async def _database() -> str:
    settings = DatabaseSettings.load()
    where = f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        connection = await asyncpg.connect(**connect_options(settings, "gateway-doctor"))
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise CheckFailed(f"{where} refuses the login: {error}; check DB_USER and DB_PASSWORD") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise CheckFailed(f"{error}; create it, or check DB_NAME") from None
    except (OSError, asyncpg.PostgresError) as error:
        refused = diagnose_database_tls(error)
        if refused is not None:
            raise CheckFailed(f"{where}: {refused}") from None
        raise CheckFailed(f"{where} does not answer: {error}; check DB_HOST and DB_PORT, and that it runs") from None
    try:
        present = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        present = None
    finally:
        await connection.close()
    wanted = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if present != wanted:
        raise CheckFailed(f"{where} has tables of version {present}, not {wanted}; run gateway migrate")
    return f"{where} answers, its tables are up to date"


async def _log() -> str:
    settings = KafkaSettings.load()
    where = settings.kafka_bootstrap_servers
    admin = AIOKafkaAdminClient(**client_options(settings.model_copy(update={"kafka_timeout": PATIENCE_SECONDS})))
    try:
        await admin.start()
        present = await partition_counts(admin)
    except (KafkaError, OSError) as error:
        raise CheckFailed(f"{where} {await _why_no_log(settings, error)}") from None
    finally:
        await admin.close()
    missing = sorted(name for name, _ in settings.topics if name not in present)
    if missing:
        raise CheckFailed(f"{where} lacks {len(missing)} topics, {missing[0]} for one; run gateway topics")
    return f"{where} answers, all topics are there"


async def _why_no_log(settings: KafkaSettings, error: Exception) -> str:
    """Say why the log cannot be used, in the words of the system, TLS or SASL: Kafka's client only lists servers."""
    hosts = collect_hosts(settings.kafka_bootstrap_servers)
    reasons = [await connect_error(host, port) for host, port, _ in hosts]
    if None not in reasons:
        why = ", ".join(dict.fromkeys(filter(None, reasons)))
        return f"does not answer: {why}; check KAFKA_BOOTSTRAP_SERVERS, and that it runs"
    refused = await diagnose_kafka_access(settings)
    if refused is not None:
        return f"does not let us in: {refused}"
    return (
        f"answers, but not as a Kafka that we can use ({error}); check KAFKA_BOOTSTRAP_SERVERS, and "
        f"KAFKA_SECURITY_PROTOCOL, which is {settings.kafka_security_protocol}"
    )


async def _mqtt() -> str:
    settings = MqttSettings.load()
    if not settings.mqtt_enabled:
        return "off (MQTT_ENABLED is false)"
    where = f"{settings.mqtt_host}:{settings.mqtt_port}"
    why = await connect_error(settings.mqtt_host, settings.mqtt_port)
    if why is not None:
        raise CheckFailed(f"{where} does not answer: {why}; check MQTT_HOST and MQTT_PORT, and that it runs")
    try:
        await try_handshake(settings)
    except ssl.SSLError as error:
        raise CheckFailed(f"{where}: {explain_tls_error(error, setting_names(settings))}") from None
    except OSError as error:
        raise CheckFailed(f"{where} hangs up when TLS begins ({error}); check MQTT_PORT and MQTT_USE_TLS") from None
    if settings.mqtt_client_cert or settings.client_cert_pem.get_secret_value():
        # Brokers that take the client id from the certificate would give us the session of the bridge.
        return f"{where} takes our certificate"
    await _log_in(settings, where)
    return f"{where} lets us in"


async def _log_in(settings: MqttSettings, where: str) -> None:
    client = aiomqtt.Client(
        settings.mqtt_host,
        settings.mqtt_port,
        username=settings.mqtt_username or None,
        password=settings.mqtt_password.get_secret_value() or None,
        # Another id than the bridge's, whose session it would take over; and where the broker gives us that session all
        # the same, by the user name, it stays as it is: nothing is acknowledged, and nothing thrown away.
        identifier=f"{settings.mqtt_client_id}-doctor",
        clean_session=False,
        tls_context=tls_context(settings),
        timeout=PATIENCE_SECONDS,
    )
    client._client.manual_ack_set(True)  # noqa: FBT003, SLF001 - paho's signature; aiomqtt has no way of its own
    try:
        async with client:
            pass
    except aiomqtt.MqttError as error:
        raise CheckFailed(
            f"{where} does not let us in: {error}; check MQTT_USERNAME and MQTT_PASSWORD, and MQTT_USE_TLS"
        ) from None


CHECKS: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
    ("settings", _settings),
    ("database", _database),
    ("log", _log),
    ("MQTT", _mqtt),
    ("API", who_may_use_the_api),
)
