"""The watch over commands, beside the dispatcher: late VENs join, and what samples and silence show is taken in.

Every look reads the database's clock and rows alone, so several workers may take turns, and a crash changes nothing.
"""

import logging
from datetime import timedelta
from functools import partial
from typing import Any

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS
from schemas.settings.blocks import DispatchSettings
from streams.dr import command_evidence, event_store
from streams.dr.allocation import ParticipantTotals
from streams.dr.command_planning import plan_event, plan_event_commands, plan_restores
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
_SHORTEST = timedelta(seconds=1)
"""What is left of an event that it makes sense to join."""


def add_command_monitor(app: Any, settings: DispatchSettings, offline_after: float, database: Database) -> None:
    """Register the watch with the app; in a large fleet a look takes seconds, and no start of an event waits for it."""
    watch = CommandMonitor(database, settings, offline_after)

    @app.task  # type: ignore[untyped-decorator]
    async def keep_watch() -> None:
        while not app.should_stop:
            await watch.look()
            await app.sleep(EVERY_SECONDS)


class CommandMonitor:
    """Looks at what is under way; each look may be by any worker, and again."""

    def __init__(self, database: Database, settings: DispatchSettings, offline_after: float) -> None:
        self._lock = LeaderLock(database, "watch")
        self._settings = settings
        self._offline_after = offline_after

    async def look(self) -> None:
        """Do everything once."""
        for row in await self._lock.run_if_leader(event_store.due_events) or []:
            if row["started_at"] is not None:
                await self._lock.run_or_skip(partial(self._join, event_id=row["event_id"]), row["event_id"])
        settings = self._settings
        for step, statement, arguments in (
            ("reported", command_evidence.REPORTED, ()),
            ("lost", command_evidence.LOST, ()),
            ("restored", command_evidence.RESTORED, ()),
            ("repeated", command_evidence.REPEAT, (settings.command_evidence_seconds,)),
            ("unanswered", command_evidence.UNANSWERED, (settings.command_answer_seconds,)),
            ("expired", command_evidence.EXPIRED, ()),
            ("reported", command_evidence.REPORTED_MEANWHILE, ()),
            ("lost", command_evidence.LOST_MEANWHILE, ()),
        ):
            look = partial(command_evidence.kinds, statement=statement, arguments=arguments)
            for kind in await self._lock.run_if_leader(look) or ():
                COMMAND_STEPS.labels(kind, step).inc()
        if settings.event_reissue_lost:
            await self._lock.run_or_skip(self._reissue_lost, "telling once more")
        if settings.event_restore_again:
            await self._lock.run_or_skip(self._restore_again, "restoring once more")
        await self._lock.run_or_skip(self._restore_disabled, "restoring what was disabled")
        await self._lock.run_if_leader(command_evidence.unwatch)

    async def _join(self, connection: Connection, event_id: str) -> None:
        event, times, now = await event_store.lock_event(connection, event_id)
        if times.closed_at is not None or times.over_at - now < _SHORTEST:
            return
        vens = await event_store.candidates(connection, event, self._offline_after)
        if vens:
            there = ParticipantTotals(**await event_store.participant_totals(connection, event_id))
            await plan_event(connection, event, vens, there, late=True)

    async def _reissue_lost(self, connection: Connection) -> None:
        for row in await connection.fetch(command_evidence.REISSUE_LOST):
            # Held: whoever ends the event comes before this, or after it with a restore.
            _, times, now = await event_store.lock_event(connection, row["event_id"])
            if times.closed_at is not None or times.over_at - now < _SHORTEST:
                continue
            await plan_event_commands(
                connection, row["event_id"], {row["ven_id"]: row["share_kw"]}, row["ends_at"], command_revision=2
            )
            _warn("%s has lost %s and is told once more", row, "event_reissued")

    async def _restore_again(self, connection: Connection) -> None:
        for row in await connection.fetch(command_evidence.RESTORE_AGAIN, self._settings.command_evidence_seconds):
            await plan_restores(connection, row["event_id"], [row["ven_id"]], row["expires_at"], command_revision=2)
            _warn("%s still sheds for %s and is restored once more", row, "event_restored_again")

    async def _restore_disabled(self, connection: Connection) -> None:
        for row in await connection.fetch(command_evidence.LEAVING):
            await plan_restores(connection, row["event_id"], [row["ven_id"]], row["ends_at"])
            await connection.execute(command_evidence.LEFT, row["event_id"], row["ven_id"])
            _warn("%s was disabled and leaves %s", row, "event_left")


def _warn(sentence: str, row: Any, action: str) -> None:
    about = {"action": action, "ven_id": row["ven_id"], "event_id": row["event_id"]}
    logger.warning(sentence, row["ven_id"], row["event_id"], extra=about)
