"""`gateway doctor`: every setting and every server looked at, with what to do where something is wrong."""

import asyncio
from collections.abc import Awaitable, Callable

import aiomqtt
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError
from alembic.script import ScriptDirectory
from rich.console import Console

from bridge.tls import tls_context
from gateway.doctor_api import who_may_use_the_api
from gateway.reach import why_unreachable
from migrations.run import alembic_config
from runtime.database import connect_options
from runtime.kafka import partition_counts
from schemas.errors import GatewayError
from schemas.mqtt_settings import MqttSettings, MqttTopicSettings
from schemas.settings import (
    ApiSettings,
    BridgeSettings,
    DatabaseSettings,
    KafkaSettings,
    LogSettings,
    StreamsSettings,
    TraceSettings,
)

PATIENCE_SECONDS = 10


class Finding(Exception):  # noqa: N818 - what a check found, not an error of ours
    """What is wrong, and what to do."""


async def examine() -> bool:
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
    except (Finding, GatewayError) as found:
        return False, str(found)
    except TimeoutError:
        return False, f"no answer within {PATIENCE_SECONDS} s; check the address, and that no firewall is in between"


async def _settings() -> str:
    for block in (BridgeSettings, StreamsSettings, ApiSettings, MqttTopicSettings, LogSettings, TraceSettings):
        block.load()
    return "no value is wrong"


async def _database() -> str:
    settings = DatabaseSettings.load()
    where = f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        connection = await asyncpg.connect(**connect_options(settings, "gateway-doctor"))
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Finding(f"{where} refuses the login: {error}; check DB_USER and DB_PASSWORD") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise Finding(f"{error}; create it, or check DB_NAME") from None
    except (OSError, asyncpg.PostgresError) as error:
        raise Finding(f"{where} does not answer: {error}; check DB_HOST and DB_PORT, and that it runs") from None
    try:
        present = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        present = None
    finally:
        await connection.close()
    wanted = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if present != wanted:
        raise Finding(f"{where} has tables of version {present}, not {wanted}; run gateway migrate")
    return f"{where} answers, its tables are up to date"


async def _log() -> str:
    settings = KafkaSettings.load()
    where = settings.kafka_bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=where, request_timeout_ms=PATIENCE_SECONDS * 1000)
    try:
        await admin.start()
        present = await partition_counts(admin)
    except (KafkaError, OSError) as error:
        why = await _why_no_log(where) or f"something listens there, but not a Kafka we can use ({error})"
        raise Finding(f"{where} does not answer: {why}; check KAFKA_BOOTSTRAP_SERVERS, and that it runs") from None
    finally:
        await admin.close()
    missing = sorted(name for name, _ in settings.topics if name not in present)
    if missing:
        raise Finding(f"{where} lacks {len(missing)} topics, {missing[0]} for one; run gateway topics")
    return f"{where} answers, all topics are there"


async def _why_no_log(servers: str) -> str | None:
    """Say why none of the servers can be reached, as the operating system puts it: Kafka's client only lists them."""
    reasons = [await why_unreachable(host, port) for host, port, _ in collect_hosts(servers)]
    return None if None in reasons else ", ".join(dict.fromkeys(filter(None, reasons)))


async def _mqtt() -> str:
    settings = MqttSettings.load()
    if not settings.mqtt_enabled:
        return "off (MQTT_ENABLED is false)"
    where = f"{settings.mqtt_host}:{settings.mqtt_port}"
    why = await why_unreachable(settings.mqtt_host, settings.mqtt_port)
    if why is not None:
        raise Finding(f"{where} does not answer: {why}; check MQTT_HOST and MQTT_PORT, and that it runs")
    client = aiomqtt.Client(
        settings.mqtt_host,
        settings.mqtt_port,
        username=settings.mqtt_username or None,
        password=settings.mqtt_password.get_secret_value() or None,
        # Another id than the bridge's, whose session it would take over.
        identifier=f"{settings.mqtt_client_id}-doctor",
        tls_context=tls_context(settings),
        timeout=PATIENCE_SECONDS,
    )
    try:
        async with client:
            pass
    except aiomqtt.MqttError as error:
        raise Finding(f"{where} does not let us in: {error}; check the credentials, and MQTT_USE_TLS") from None
    return f"{where} lets us in"


CHECKS: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
    ("settings", _settings),
    ("database", _database),
    ("log", _log),
    ("MQTT", _mqtt),
    ("API", who_may_use_the_api),
)
