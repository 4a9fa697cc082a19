"""The dispatcher, beside the role `sink`: starts and ends DR events, and writes their commands for the outbox.

Every decision reads the database's clock and rows alone and is committed before its commands are published. After a
crash any worker continues from the rows and decides nothing twice.
"""

import logging
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS, STEPS, declare_series
from schemas.dr.event_lifecycle import EventAction, next_action
from schemas.settings.blocks import DispatchSettings
from streams.dr import event_store
from streams.dr.command_planning import plan_event, plan_restores
from streams.dr.tracing import Phase, trace_phase
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2


def add_dispatcher(app: Any, settings: DispatchSettings, offline_after: float, database: Database) -> None:
    """Register the dispatcher with the app; the database is its own, so that no batch waits for it, nor it for one."""
    declare_series(COMMAND_STEPS, ("event", "restore", "operator"), STEPS)
    dispatcher = Dispatcher(database, settings, offline_after)

    @app.task  # type: ignore[untyped-decorator]
    async def dispatch() -> None:
        while not app.should_stop:
            await dispatcher.act()
            await app.sleep(LOOK_SECONDS)


class Dispatcher:
    """Starts and ends events; each step may be done at any time, by any worker, and again."""

    def __init__(self, database: Database, settings: DispatchSettings, offline_after: float) -> None:
        self._lock = LeaderLock(database, "dispatch")
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

    async def _step(self, connection: Connection, event_id: str) -> Phase | None:
        """Do what is due of an event; returns the phase of the commands that it wrote."""
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
                    "%s ended at %s before anything could start it: no VEN got a command",
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
        vens = await event_store.candidates(connection, event, self._offline_after, self._settings.max_ven_shed_kw)
        commanded = await plan_event(connection, event, vens, late=False)
        await event_store.note_started(connection, event["event_id"])
        behind = (now - event["start_time"]).total_seconds()
        logger.info(
            "%s started %.1f s after its time: %d VENs got a command, %d busy with another event",
            event["event_id"],
            behind,
            commanded,
            len(vens) - commanded,
            extra={"action": "event_started", "event_id": event["event_id"]},
        )

    async def _end(self, connection: Connection, event: Any, over_at: datetime) -> None:
        event_id = event["event_id"]
        to_restore = await event_store.end_commands(connection, event_id, over_at)
        # A device whose restore is lost ends by itself at the end time of its first command.
        expires = max(over_at, event["end_time"]) + timedelta(seconds=self._settings.command_expires_seconds)
        await plan_restores(connection, event_id, to_restore, expires)
        await event_store.close_event(connection, event_id)
        about = {"action": "event_ended", "event_id": event_id}
        logger.info("%s ended: %d VENs to be restored", event_id, len(to_restore), extra=about)
