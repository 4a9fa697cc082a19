"""The dispatcher, beside the role `sink`: starts and ends DR events, and hands every command to the log.

What is decided is committed before anybody hears of it, and every decision reads the database's clock and rows alone:
whoever comes after a crash goes on from there, and decides nothing twice. Several workers take turns.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS, STEPS, declare_series
from schemas.dr.event_lifecycle import EventAction, next_action
from schemas.records.commands import CommandRecord
from schemas.records.telemetry import encode_record
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import DispatchSettings, KafkaSettings
from streams.dr import command_store, event_store
from streams.dr.allocation import ParticipantTotals
from streams.dr.command_planning import plan_event, plan_restores
from streams.dr.tracing import Phase, trace_logged, trace_phase, traceparent_of
from streams.engine.publish import OutgoingRecord, PublishError, publish
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
LOGGED_AT_ONCE = 2000


def add_dispatcher(
    app: Any,
    kafka: KafkaSettings,
    settings: DispatchSettings,
    offline_after: float,
    producer: AIOKafkaProducer,
    database: Database,
) -> None:
    """Register the dispatcher with the app; the database is its own, so that no batch waits for it, nor it for one."""
    declare_series(COMMAND_STEPS, ("event", "restore", "operator"), STEPS)
    dispatcher = Dispatcher(database, producer, kafka.topics(COMMANDS), settings, offline_after)

    @app.task  # type: ignore[untyped-decorator]
    async def dispatch() -> None:
        while not app.should_stop:
            await dispatcher.act()
            await dispatcher.hand_over()
            await app.sleep(LOOK_SECONDS)


class Dispatcher:
    """Decides and hands over; each step may be done at any time, by any worker, and again."""

    def __init__(
        self,
        database: Database,
        producer: AIOKafkaProducer,
        topic: str,
        settings: DispatchSettings,
        offline_after: float,
    ) -> None:
        self._lock = LeaderLock(database, "dispatch")
        self._producer = producer
        self._topic = topic
        self._settings = settings
        self._offline_after = offline_after

    async def act(self) -> None:
        """Start, end and close what is due: ends before starts, so that a VEN is free for what follows."""
        rows = await self._lock.run_if_leader(event_store.due_events) or []
        steps = [(row["event_id"], next_action(event_store.times_of(row), row["asked_at"])) for row in rows]
        ending = [event_id for event_id, step in steps if step in {EventAction.END, EventAction.MISS, EventAction.DROP}]
        starting = [event_id for event_id, step in steps if step is EventAction.START]
        for event_id in ending + starting:
            began = time.time()
            phase = await self._lock.run_or_skip(partial(self._step, event_id=event_id), event_id)
            if phase is not None:
                trace_phase(event_id, phase, began)

    async def hand_over(self) -> None:
        """Hand every command that the log does not have to it, in the order in which they were decided."""
        began = time.time()
        try:
            while rows := await self._lock.run_if_leader(self._hand_some_over):
                for row in rows:
                    if row["wanted"]:
                        COMMAND_STEPS.labels(row["kind"], "logged").inc()
                trace_logged(rows, began)
                began = time.time()
        except PublishError as error:
            logger.warning("the log does not take commands: %s; trying on", error, extra={"action": "commands_wait"})

    async def _step(self, connection: Connection, event_id: str) -> Phase | None:
        """Do what is due of an event; returns of what phase its VENs are told now."""
        event, times, now = await event_store.lock_event(connection, event_id)
        match next_action(times, now):
            case EventAction.START:
                await self._start(connection, event, now)
                return "event"
            case EventAction.END:
                await self._end(connection, event, times.over_at)
                return "restore"
            case EventAction.MISS:
                logger.error(
                    "%s ended at %s before anything could start it: nobody was told",
                    event_id,
                    times.over_at.isoformat(),
                    extra={"action": "event_missed", "event_id": event_id},
                )
                await event_store.close_event(connection, event_id, missed=True)
            case EventAction.DROP:
                await event_store.close_event(connection, event_id)
            case EventAction.WAIT:
                pass
        return None

    async def _start(self, connection: Connection, event: Any, now: datetime) -> None:
        vens = await event_store.candidates(connection, event, self._offline_after)
        told = await plan_event(connection, event, vens, ParticipantTotals(), late=False)
        await event_store.note_started(connection, event["event_id"])
        behind = (now - event["start_time"]).total_seconds()
        logger.info(
            "%s started %.1f s after its time: %d VENs told, %d busy with another event",
            event["event_id"],
            behind,
            told,
            len(vens) - told,
            extra={"action": "event_started", "event_id": event["event_id"]},
        )

    async def _end(self, connection: Connection, event: Any, over_at: datetime) -> None:
        event_id = event["event_id"]
        told = await event_store.end_commands(connection, event_id, over_at)
        # A device whose restore went astray ends by itself at the time that it was told first.
        expires = max(over_at, event["end_time"]) + timedelta(seconds=self._settings.command_expires_seconds)
        await plan_restores(connection, event_id, told, expires)
        await event_store.close_event(connection, event_id)
        about = {"action": "event_ended", "event_id": event_id}
        logger.info("%s ended: %d VENs to be restored", event_id, len(told), extra=about)

    async def _hand_some_over(self, connection: Connection) -> list[Any]:
        rows = await command_store.unlogged(connection, self._settings.command_expires_seconds, LOGGED_AT_ONCE)
        if rows:
            # A crash from here on hands them over again; the bridge knows them by correlation id and attempt.
            logged = await self._send([command_store.command_record_of(row) for row in rows if row["wanted"]])
            await command_store.note_logged(connection, rows, logged)
        return rows

    async def _send(self, dispatches: list[CommandRecord]) -> dict[str, datetime]:
        """Write to the log; returns by correlation id when, as the log has it: the bridge is at work before we know."""
        told = (
            OutgoingRecord(
                one.ven_id, encode_record(one), traceparent_of(one.correlation_id, one.event_id, one.attempt)
            )
            for one in dispatches
        )
        written = await publish(self._producer, self._topic, told)
        return {
            one.correlation_id: datetime.fromtimestamp(record.timestamp / 1000, UTC)
            for one, record in zip(dispatches, written, strict=True)
        }
