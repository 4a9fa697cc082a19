"""The process of a stream role: what each role consists of, and which connections it has."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.database import check_database_tls
from runtime.health import serve_health
from runtime.kafka import ensure_topics, producer
from runtime.metrics import DEAD_LETTER_RATIO, OLDEST_UNFINISHED
from runtime.supervision import Supervisor
from runtime.tracing import TRACING
from schemas.records.topics import (
    COMMANDS,
    DISABLED,
    MINUTES,
    POWER_LIMITS,
    TELEMETRY,
)
from streams.config import StreamsConfig
from streams.dead_letters.agents import add_dead_letters
from streams.dead_letters.replay_outbox_source import replay_source
from streams.dr.command_monitor import add_command_monitor
from streams.dr.command_outbox_source import command_source
from streams.dr.delivery_evidence import add_delivery_evidence
from streams.dr.dispatcher import add_dispatcher
from streams.dr.settlement import add_settlement
from streams.engine.app import make_app
from streams.engine.faust_tasks import declare_faust_tasks
from streams.engine.run import run_app
from streams.live.agents import add_live
from streams.live.copartitioning import warn_unless_copartitioned
from streams.outbox.publisher import add_outbox
from streams.rollups.job import add_rollups
from streams.rollups.minute_outbox_source import minute_source
from streams.sink.agents import SAMPLE_CONCURRENCY, add_sink
from streams.sink.disabled_ven_outbox_source import disabled_ven_source
from streams.sink.live_totals_history import add_live_totals_history
from streams.sink.power_limits import power_limit_source
from streams.store.database import Database, database
from streams.store.day_partitions import DayPartitions
from streams.validate.agents import add_validate
from streams.validate.dead_letter_alarm import DeadLetterAlarm

Check = Callable[[], bool]


async def run_role(config: StreamsConfig, stop: asyncio.Event) -> None:
    """Run a role until `stop` is set, then finish the batches in progress and commit.

    Raises:
        SettingsError: the TLS settings and a certificate of PostgreSQL or Kafka do not match.
        BackgroundTaskError: a task ended that the role cannot work without.
        Exception: the error that crashed an agent. Its batch is not acknowledged; restart the process.
    """
    streams = config.streams
    declare_faust_tasks()
    if config.database is not None:
        await check_database_tls(config.database, f"gateway-{config.role}")
    async with AsyncExitStack() as stack:
        supervisor = stack.enter_context(Supervisor())
        stack.enter_context(TRACING.exporting(config.traces, config.role))
        checks: dict[str, Check] = {"kafka": lambda: False}
        alarms: dict[str, Check] = {}
        # Health comes first: a role that waits for Kafka is alive.
        await stack.enter_async_context(
            serve_health(streams.streams_health_host, streams.streams_health_port, checks, alarms)
        )
        topics = await ensure_topics(config.kafka)
        kafka_producer = await stack.enter_async_context(producer(config.kafka, f"gateway-{config.role}"))
        app = make_app(config.role, config.kafka, streams)
        checks["kafka"] = lambda: bool(app.ready)
        match config.role:
            case "validate":
                alarm = DeadLetterAlarm(streams)
                alarm.schedule(app)
                alarms[alarm.name] = alarm.check
                stack.enter_context(DEAD_LETTER_RATIO.reporting(lambda: {(): alarm.share()}))
                add_validate(app, config.kafka, streams, kafka_producer, alarm)
            case "live":
                warn_unless_copartitioned(config.kafka, topics.partitions)
                telemetry_partitions = topics.partitions[config.kafka.topics(TELEMETRY)]
                checks["state"] = add_live(app, config.kafka, streams, kafka_producer, telemetry_partitions)
            case "sink":
                checks["database"] = await _add_sink_and_its_jobs(stack, app, config, kafka_producer)
        stack.enter_context(OLDEST_UNFINISHED.reporting(lambda: {(config.role,): app.oldest_unfinished_seconds()}))
        await run_app(app, stop, supervisor, streams.shutdown_timeout)


async def _add_sink_and_its_jobs(
    stack: AsyncExitStack, app: Any, config: StreamsConfig, kafka_producer: AIOKafkaProducer
) -> Check:
    """Register the sink and the jobs that need PostgreSQL. Each has its own connections, so that none waits.

    Returns the check whether the sink reaches PostgreSQL.
    """
    settings, kafka, streams, dispatch = config.database, config.kafka, config.streams, config.dispatch
    if settings is None:
        raise ValueError("the sink needs a database")

    async def connect(name: str, connections: int = 1) -> Database:
        return await stack.enter_async_context(database(settings, f"gateway-{name}", connections))

    sink = await connect("sink", SAMPLE_CONCURRENCY)
    partitions = DayPartitions(sink, streams.window, streams.partitions_ahead_days)
    add_sink(app, kafka, streams, kafka_producer, sink, partitions)
    add_dead_letters(app, kafka, streams, sink, partitions)
    add_delivery_evidence(app, kafka, streams, kafka_producer, sink)

    rollups = await connect("rollups")
    add_rollups(app, rollups, partitions, streams.energy_hold_seconds)
    add_live_totals_history(app, kafka, streams, rollups, partitions)

    sources = (
        command_source(kafka.topics(COMMANDS), dispatch.command_expires_seconds),
        disabled_ven_source(kafka.topics(DISABLED)),
        minute_source(kafka.topics(MINUTES)),
        power_limit_source(kafka.topics(POWER_LIMITS)),
        replay_source(),
    )
    add_outbox(app, kafka_producer, await connect("outbox", len(sources)), sources)

    offline_after = streams.offline_after_seconds
    add_dispatcher(app, dispatch, offline_after, await connect("dispatcher"))
    add_command_monitor(app, dispatch, offline_after, await connect("command-monitor"))
    add_settlement(app, await connect("settlement"), streams.energy_hold_seconds)
    return lambda: sink.connected
