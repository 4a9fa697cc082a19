"""The command monitor, beside the dispatcher: adds late joiners, and records what samples and elapsed time show.

Each pass reads only rows and the database's clock, so any worker may run it, again and after a crash.
"""

import logging
from datetime import timedelta
from functools import partial
from typing import Any

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS
from schemas.settings.blocks import DispatchSettings
from streams.dr import event_store, sample_evidence
from streams.dr.command_planning import plan_event, plan_event_commands, plan_restores
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
_SHORTEST = timedelta(seconds=1)
"""A VEN does not join an event that ends sooner."""


def add_command_monitor(app: Any, settings: DispatchSettings, offline_after: float, database: Database) -> None:
    """Register the monitor with the app. A pass over a large fleet takes seconds and delays no event."""
    monitor = CommandMonitor(database, settings, offline_after)

    @app.task  # type: ignore[untyped-decorator]
    async def monitor_commands() -> None:
        while not app.should_stop:
            await monitor.run_once()
            await app.sleep(EVERY_SECONDS)


class CommandMonitor:
    """Monitors the commands in flight; any worker may run a pass, and again."""

    def __init__(self, database: Database, settings: DispatchSettings, offline_after: float) -> None:
        self._lock = LeaderLock(database, "command_monitor")
        self._settings = settings
        self._offline_after = offline_after

    async def run_once(self) -> None:
        """Run one pass."""
        for row in await self._lock.run_if_leader(event_store.due_events) or []:
            if row["started_at"] is not None:
                await self._lock.run_or_skip(partial(self._join, event_id=row["event_id"]), row["event_id"])
        settings = self._settings
        for step, statement, arguments in (
            ("reported", sample_evidence.REPORTED, ()),
            ("lost", sample_evidence.LOST, ()),
            ("restored", sample_evidence.RESTORED, ()),
            ("repeated", sample_evidence.REPEAT, (settings.command_evidence_seconds,)),
            ("unanswered", sample_evidence.UNANSWERED, (settings.command_answer_seconds,)),
            ("expired", sample_evidence.EXPIRED, ()),
            ("reported", sample_evidence.REPORTED_LATE, ()),
            ("lost", sample_evidence.LOST_LATE, ()),
        ):
            record = partial(sample_evidence.record, statement=statement, arguments=arguments)
            for kind in await self._lock.run_if_leader(record) or ():
                COMMAND_STEPS.labels(kind, step).inc()
        if settings.event_reissue_lost:
            await self._lock.run_or_skip(self._reissue_lost, "reissuing lost events")
        if settings.event_restore_again:
            await self._lock.run_or_skip(self._restore_again, "restoring again")
        await self._lock.run_or_skip(self._restore_disabled, "restoring disabled VENs")
        await self._lock.run_if_leader(sample_evidence.stop_monitoring)

    async def _join(self, connection: Connection, event_id: str) -> None:
        event, times, now = await event_store.lock_event(connection, event_id)
        if times.closed_at is not None or times.over_at - now < _SHORTEST:
            return
        vens = await event_store.candidates(connection, event, self._offline_after, self._settings.max_ven_shed_kw)
        if vens:
            await plan_event(connection, event, vens, late=True)

    async def _reissue_lost(self, connection: Connection) -> None:
        for row in await connection.fetch(sample_evidence.REISSUE_LOST):
            # Locked: the end of the event comes before this, or after it with a restore.
            _, times, now = await event_store.lock_event(connection, row["event_id"])
            if times.closed_at is not None or times.over_at - now < _SHORTEST:
                continue
            await plan_event_commands(
                connection, row["event_id"], {row["ven_id"]: row["share_kw"]}, row["ends_at"], command_revision=2
            )
            _warn("%s has lost %s; the event is sent again", row, "event_reissued")

    async def _restore_again(self, connection: Connection) -> None:
        for row in await connection.fetch(sample_evidence.RESTORE_AGAIN, self._settings.command_evidence_seconds):
            await plan_restores(connection, row["event_id"], [row["ven_id"]], row["expires_at"], command_revision=2)
            _warn("%s still sheds for %s; the restore is sent again", row, "event_restored_again")

    async def _restore_disabled(self, connection: Connection) -> None:
        for row in await connection.fetch(sample_evidence.DISABLED_PARTICIPANTS):
            await plan_restores(connection, row["event_id"], [row["ven_id"]], row["ends_at"])
            await connection.execute(sample_evidence.END_COMMANDS, row["event_id"], row["ven_id"])
            _warn("%s was disabled and leaves %s", row, "event_left")


def _warn(sentence: str, row: Any, action: str) -> None:
    about = {"action": action, "ven_id": row["ven_id"], "event_id": row["event_id"]}
    logger.warning(sentence, row["ven_id"], row["event_id"], extra=about)
