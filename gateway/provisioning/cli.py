"""`gateway migrate` and `gateway topics`."""

import asyncio
from typing import Annotated

import typer

from runtime.process import run
from schemas.base.errors import GatewayError


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until the database answers.")] = 60,
) -> None:
    """Create or update the database tables."""
    from migrations.run import migrate as run_migrations
    from schemas.settings.blocks import DatabaseSettings

    settings = DatabaseSettings.load()
    run("migrate", lambda _stop: run_migrations(settings, wait_seconds=wait), grace=0)
    print("The tables are up to date.")


def topics(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until Kafka answers.")] = 60,
    registry: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Schema registry to use instead of SCHEMA_REGISTRY_URL."),
    ] = None,
) -> None:
    """Create missing Kafka topics and list all; register their schemas if a schema registry is set."""
    from gateway.asyncapi.schema_registry import register_schemas
    from runtime.kafka import ensure_topics
    from schemas.settings.blocks import KafkaSettings, RegistrySettings

    settings = KafkaSettings.load()
    registry_url = registry or RegistrySettings.load().schema_registry_url.get_secret_value()

    async def create(_stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(wait):
                report = await ensure_topics(settings)
        except TimeoutError:
            servers = settings.kafka_bootstrap_servers
            raise GatewayError(f"{servers} did not answer within {wait:.0f} s; check KAFKA_BOOTSTRAP_SERVERS") from None
        for name, topic in settings.topics:
            state = "created" if name in report.created else "exists"
            print(f"{state:8} {report.partitions[name]:4} partitions  {name:45} {topic.key} -> {topic.value}")
        if registry_url:
            async for subject, schema_id in register_schemas(registry_url, settings.topics):
                print(f"schema   {schema_id:4}             {subject}")

    run("topics", create, level="WARNING", grace=0)
