"""One stream role as a process."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.database import check_database_tls
from runtime.health import serve_health
from runtime.kafka import ensure_topics, producer
from runtime.metrics import DEAD_LETTER_RATIO, OLDEST_UNFINISHED
from runtime.supervision import BackgroundTaskError, Supervisor
from runtime.tracing import TRACING
from schemas.mqtt.routing import Kind
from schemas.records.topics import (
    COMMANDS,
    DISABLED,
    HEARTBEATS,
    LIVE_LOADS,
    LOADS,
    MINUTES,
    STATUS,
    TELEMETRY,
    raw_topic,
)
from schemas.settings.blocks import (
    DatabaseSettings,
    DispatchSettings,
    KafkaSettings,
    StreamsSettings,
    TraceSettings,
    validate_all,
)
from streams.dead_letters.agents import add_dead_letters
from streams.dead_letters.replay_source import replay_source
from streams.dr.command_monitor import add_command_monitor
from streams.dr.command_source import command_source
from streams.dr.delivery_evidence import add_delivery_evidence
from streams.dr.dispatcher import add_dispatcher
from streams.dr.settlement import add_settlement
from streams.engine.app import make_app
from streams.engine.faust_tasks import declare_faust_tasks
from streams.live.agents import add_live
from streams.outbox.publisher import add_outbox
from streams.roles import StreamRole
from streams.rollups.job import add_rollups
from streams.rollups.minute_source import minute_source
from streams.sink.agents import SAMPLE_CONCURRENCY, add_sink
from streams.sink.disabled_vens import disabled_ven_source
from streams.sink.network_history import add_network_history
from streams.store.database import Database, database
from streams.store.day_partitions import DayPartitions
from streams.validate.agents import add_validate
from streams.validate.dead_letter_alarm import DeadLetterAlarm

logger = logging.getLogger(__name__)

_SIDE_BY_SIDE = (raw_topic(Kind.METERING), TELEMETRY, LOADS, STATUS, HEARTBEATS, DISABLED, LIVE_LOADS)


@dataclass(frozen=True, slots=True)
class StreamsConfig:
    """All that a role is told; `database` is None for roles that need none."""

    role: StreamRole
    kafka: KafkaSettings
    streams: StreamsSettings
    database: DatabaseSettings | None
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls, role: StreamRole) -> "StreamsConfig":
        """Read it from the environment; raises SettingsError."""
        database = (DatabaseSettings,) if role == "sink" else ()
        validate_all(KafkaSettings, *database, StreamsSettings, DispatchSettings, TraceSettings)
        needed = DatabaseSettings.load() if role == "sink" else None
        streams, dispatch, traces = StreamsSettings.load(), DispatchSettings.load(), TraceSettings.load()
        return cls(role, KafkaSettings.load(), streams, needed, dispatch, traces)


async def run_role(config: StreamsConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then finish the batch at hand, commit and leave.

    Raises:
        SettingsError: the database or the log, and we, do not trust one another.
        BackgroundTaskError: a task ended that the role cannot work without.
        Exception: what crashed an agent. Nothing of its batch was acknowledged: start the process again.
    """
    streams = config.streams
    declare_faust_tasks()
    if config.database is not None:
        await check_database_tls(config.database, f"gateway-{config.role}")
    async with AsyncExitStack() as stack:
        supervisor = stack.enter_context(Supervisor())
        stack.enter_context(TRACING.exporting(config.traces, config.role))
        checks: dict[str, Callable[[], bool]] = {"log": lambda: False}
        alarms: dict[str, Callable[[], bool]] = {}
        # First of all: a role that waits for the log is alive.
        await stack.enter_async_context(
            serve_health(streams.streams_health_host, streams.streams_health_port, checks, alarms)
        )
        topics = await ensure_topics(config.kafka)
        log = await stack.enter_async_context(producer(config.kafka, f"gateway-{config.role}"))
        app = make_app(config.role, config.kafka, streams)
        checks["log"] = lambda: bool(app.ready)
        match config.role:
            case "validate":
                alarm = DeadLetterAlarm(streams)
                alarm.schedule(app)
                alarms[alarm.name] = alarm.check
                stack.enter_context(DEAD_LETTER_RATIO.reporting(lambda: {(): alarm.share()}))
                add_validate(app, config.kafka, streams, log, alarm)
            case "live":
                warn_unless_partitioned_alike(config.kafka, topics.partitions)
                telemetry_partitions = topics.partitions[config.kafka.topics(TELEMETRY)]
                checks["state"] = add_live(app, config.kafka, streams, log, telemetry_partitions)
            case "sink":
                checks["database"] = await _add_sink_and_what_is_beside(stack, app, config, log)
        stack.enter_context(OLDEST_UNFINISHED.reporting(lambda: {(config.role,): app.oldest_unfinished_seconds()}))
        app.finalize()
        app.loop = asyncio.get_running_loop()
        try:
            await app.start()
            await app.wait(stop.wait())
            # A crash ends the wait, too, and is not raised.
            if app.crash_reason is not None:
                raise _crash_of(app.crash_reason)
        finally:
            supervisor.over()
            await _end(app, streams.shutdown_timeout)


async def _add_sink_and_what_is_beside(
    stack: AsyncExitStack, app: Any, config: StreamsConfig, log: AIOKafkaProducer
) -> Callable[[], bool]:
    """Register all that needs the database, with connections that do not wait for one another.

    Returns whether the sink's own is there.
    """
    settings, kafka, streams = config.database, config.kafka, config.streams
    if settings is None:
        raise ValueError("the sink needs a database")

    async def connection(name: str, number: int = 1) -> Database:
        return await stack.enter_async_context(database(settings, f"gateway-{name}", number))

    rows = await connection("sink", SAMPLE_CONCURRENCY)
    partitions = DayPartitions(rows, streams.window, streams.partitions_ahead_days)
    add_sink(app, kafka, streams, log, rows, partitions)
    add_dead_letters(app, kafka, streams, rows, partitions)
    add_delivery_evidence(app, kafka, streams, log, rows)
    beside = await connection("rollups")
    add_rollups(app, beside, partitions)
    add_network_history(app, kafka, streams, beside, partitions)
    topics, dispatch = kafka.topics, config.dispatch
    sources = (
        command_source(topics(COMMANDS), dispatch.command_expires_seconds),
        disabled_ven_source(topics(DISABLED)),
        minute_source(topics(MINUTES)),
        replay_source(),
    )
    add_outbox(app, log, await connection("outbox", len(sources)), sources)
    offline_after = streams.offline_after_seconds
    add_dispatcher(app, dispatch, offline_after, await connection("dispatch"))
    add_command_monitor(app, dispatch, offline_after, await connection("watch"))
    add_settlement(app, await connection("settlement"), offline_after)
    return lambda: rows.connected


def warn_unless_partitioned_alike(kafka: KafkaSettings, partitions: Mapping[str, int]) -> None:
    """Say so where topics that `live` reads side by side have been created with different numbers of partitions."""
    counts = {name: partitions[kafka.topics(name)] for name in _SIDE_BY_SIDE}
    if len(set(counts.values())) > 1:
        logger.error(
            "these topics need the same number of partitions, or live totals miss what belongs together: %s",
            counts,
            extra={"action": "partitions_differ"},
        )


def _crash_of(reason: BaseException) -> BaseException:
    """Return what to raise: a cancellation that nobody asked for would look like an end in order."""
    if not isinstance(reason, asyncio.CancelledError):
        return reason
    return BackgroundTaskError("a task of Faust's was cancelled from within; the process ends, to be started again")


async def _end(app: object, deadline: float) -> None:
    try:
        async with asyncio.timeout(deadline):
            await app.stop()  # type: ignore[attr-defined]
    except TimeoutError:
        logger.warning("not all was committed in time; it comes again", extra={"action": "streams_stop_timeout"})
