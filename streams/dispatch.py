"""The dispatcher, beside the role `sink`: starts and ends DR events, and looks after every command.

What is decided is committed before anybody hears of it, and every decision reads the database's clock and rows alone:
whoever comes after a crash goes on from there, and decides nothing twice. Several workers take turns.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS
from schemas.commands import Command, event_command, restore_command
from schemas.dispatch import Dispatch, seconds_left
from schemas.lifecycle import Step, next_step
from schemas.readings import encode_record
from schemas.settings import DispatchSettings, KafkaSettings
from schemas.topics import COMMANDS
from streams.rules.shares import Basis, share_of
from streams.store import commands, events, watching
from streams.store.database import DATA_FAULTS, Database, T

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
WATCH_SECONDS = 1.0
LOGGED_AT_ONCE = 2000
# While the log is away the transaction is given up, and with it the turn.
LOG_PATIENCE_SECONDS = 10.0

# One worker at a time; the turn ends with the transaction, or with the connection.
CLOCK = "SELECT clock_timestamp()"
LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.dispatch'))"


class LogAwayError(Exception):
    """The log did not take what was handed to it in time."""


def add_dispatch(
    app: Any,
    kafka: KafkaSettings,
    settings: DispatchSettings,
    offline_after: float,
    producer: AIOKafkaProducer,
    database: Database,
) -> None:
    """Register the dispatcher with the app; the database is its own, so that no batch waits for it, nor it for one."""
    dispatcher = Dispatcher(database, producer, kafka.topics(COMMANDS), settings, offline_after)

    @app.task  # type: ignore[untyped-decorator]
    async def dispatch() -> None:
        watched = 0.0
        while not app.should_stop:
            await dispatcher.act()
            if app.loop.time() - watched >= WATCH_SECONDS:
                await dispatcher.watch()
                watched = app.loop.time()
            await dispatcher.hand_over()
            await app.sleep(LOOK_SECONDS)


class Dispatcher:
    """Decides, hands over, and watches; each step may be done at any time, by any worker, and again."""

    def __init__(
        self,
        database: Database,
        producer: AIOKafkaProducer,
        topic: str,
        settings: DispatchSettings,
        offline_after: float,
    ) -> None:
        self._database = database
        self._producer = producer
        self._topic = topic
        self._settings = settings
        self._offline_after = offline_after

    async def act(self) -> None:
        """Start, end and close what is due: ends before starts, so that a VEN is free for what follows."""
        rows = await self._turn(events.due_events) or []
        now = await self._database.run(_now) if rows else None
        steps = [(row["event_id"], next_step(events.times_of(row), now)) for row in rows if now is not None]
        ending = [event_id for event_id, step in steps if step in {Step.END, Step.MISS, Step.DROP}]
        starting = [event_id for event_id, step in steps if step is Step.START]
        for event_id in ending + starting:
            await self._try(partial(self._step, event_id=event_id), event_id)

    async def watch(self) -> None:
        """Let late VENs join, and take in what samples and silence show."""
        for row in await self._turn(events.due_events) or []:
            if row["started_at"] is not None:
                await self._try(partial(self._join, event_id=row["event_id"]), row["event_id"])
        settings = self._settings
        for step, statement, arguments in (
            ("reported", watching.REPORTED, ()),
            ("lost", watching.LOST, ()),
            ("restored", watching.RESTORED, ()),
            ("repeated", watching.REPEAT, (settings.command_evidence_seconds,)),
            ("unanswered", watching.UNANSWERED, (settings.command_answer_seconds,)),
            ("expired", watching.EXPIRED, ()),
            ("reported", watching.REPORTED_MEANWHILE, ()),
            ("lost", watching.LOST_MEANWHILE, ()),
        ):
            for kind in await self._turn(partial(watching.kinds, statement=statement, arguments=arguments)) or ():
                COMMAND_STEPS.labels(kind, step).inc()
        if settings.event_retell_lost:
            await self._try(self._retell, "telling once more")
        await self._turn(watching.unwatch)

    async def hand_over(self) -> None:
        """Hand every command that the log does not have to it, in the order in which they were decided."""
        try:
            while rows := await self._turn(self._hand_some_over):
                for row in rows:
                    if row["wanted"]:
                        COMMAND_STEPS.labels(row["kind"], "logged").inc()
        except LogAwayError as error:
            logger.warning("the log does not take commands: %s; trying on", error, extra={"action": "commands_wait"})

    async def _try(self, work: Callable[[Connection], Awaitable[None]], what: str) -> None:
        """Do work in a turn of its own; what the database refuses keeps neither the rest waiting nor ends the role."""
        try:
            await self._turn(work)
        except DATA_FAULTS as error:
            # A correlation id that was given before, most likely: the next look makes others at random.
            logger.warning("%s is looked at once more: %s", what, error, extra={"action": "dispatch_again"})

    async def _turn(self, work: Callable[[Connection], Awaitable[T]]) -> T | None:
        """Do work in a transaction, unless another worker has the turn."""

        async def leading(connection: Connection) -> T | None:
            return await work(connection) if await connection.fetchval(LEAD) else None

        return await self._database.run(leading)

    async def _step(self, connection: Connection, event_id: str) -> None:
        event, times, now = await events.hold_event(connection, event_id)
        match next_step(times, now):
            case Step.START:
                await self._start(connection, event, now)
            case Step.END:
                await self._end(connection, event, times.over_at)
            case Step.MISS:
                logger.error(
                    "%s ended at %s before anything could start it: nobody was told",
                    event_id,
                    times.over_at.isoformat(),
                    extra={"action": "event_missed"},
                )
                await events.close_event(connection, event_id, missed=True)
            case Step.DROP:
                await events.close_event(connection, event_id)
            case Step.WAIT:
                pass

    async def _start(self, connection: Connection, event: Any, now: datetime) -> None:
        vens = await events.candidates(connection, event, self._offline_after)
        told = await self._tell(connection, event, vens, Basis(), late=False)
        await events.note_started(connection, event["event_id"])
        behind = (now - event["start_time"]).total_seconds()
        logger.info(
            "%s started %.1f s after its time: %d VENs told, %d busy with another event",
            event["event_id"],
            behind,
            told,
            len(vens) - told,
            extra={"action": "event_started"},
        )

    async def _join(self, connection: Connection, event_id: str) -> None:
        event, times, now = await events.hold_event(connection, event_id)
        if times.closed_at is not None or times.over_at - now < timedelta(seconds=1):
            return
        vens = await events.candidates(connection, event, self._offline_after)
        if vens:
            there = Basis(**await events.basis_of(connection, event_id))
            await self._tell(connection, event, vens, there, late=True)

    async def _tell(self, connection: Connection, event: Any, vens: list[Any], there: Basis, *, late: bool) -> int:
        """Give each VEN its share beside those that are there and write its command; returns how many were told."""
        chosen: list[tuple[str, float | None, float | None, str]] = []
        shares: dict[str, float] = {}
        basis = there.joined_by(ven["capability_kw"] for ven in vens if ven["busy_with"] is None)
        for ven in vens:
            if ven["busy_with"] is not None:
                chosen.append((ven["ven_id"], None, ven["capability_kw"], f"busy with {ven['busy_with']}"))
                continue
            share = share_of(event["requested_reduction_kw"], basis, ven["capability_kw"])
            chosen.append((ven["ven_id"], share.kw, ven["capability_kw"], share.reason))
            shares[ven["ven_id"]] = share.kw
        await events.take_part(connection, event["event_id"], chosen, late=late)
        await self._decide_event(connection, event["event_id"], shares, event["ended_at"] or event["end_time"])
        return len(shares)

    async def _decide_event(
        self, connection: Connection, event_id: str, shares: dict[str, float], ends_at: datetime, telling: int = 1
    ) -> None:
        left = seconds_left(ends_at, await connection.fetchval(CLOCK))
        await events.decide(
            connection,
            event_id,
            _each_its_own(lambda ven_id: event_command(ven_id, event_id, shares[ven_id], left), shares),
            phase="event",
            expires_at=ends_at,
            ends_at=ends_at,
            telling=telling,
        )

    async def _end(self, connection: Connection, event: Any, over_at: datetime) -> None:
        event_id = event["event_id"]
        told = await events.end_commands(connection, event_id, over_at)
        # A device whose restore went astray ends by itself at the time that it was told first.
        expires = max(over_at, event["end_time"]) + timedelta(seconds=self._settings.command_expires_seconds)
        restores = _each_its_own(lambda ven_id: restore_command(ven_id, event_id), told)
        await events.decide(connection, event_id, restores, phase="restore", expires_at=expires)
        await events.close_event(connection, event_id)
        logger.info("%s ended: %d VENs to be restored", event_id, len(told), extra={"action": "event_ended"})

    async def _retell(self, connection: Connection) -> None:
        for row in await connection.fetch(watching.RETELL):
            share = {row["ven_id"]: row["share_kw"]}
            await self._decide_event(connection, row["event_id"], share, row["ends_at"], telling=2)
            logger.warning(
                "%s has lost %s and is told once more",
                row["ven_id"],
                row["event_id"],
                extra={"action": "event_retold"},
            )

    async def _hand_some_over(self, connection: Connection) -> list[Any]:
        rows = await commands.unlogged(connection, self._settings.command_expires_seconds, LOGGED_AT_ONCE)
        if rows:
            # A crash from here on hands them over again; the bridge knows them by correlation id and attempt.
            logged = await self._send([commands.dispatch_of(row) for row in rows if row["wanted"]])
            await commands.note_logged(connection, rows, logged)
        return rows

    async def _send(self, dispatches: list[Dispatch]) -> dict[str, datetime]:
        """Write to the log; returns by correlation id when, as the log has it: the bridge is at work before we know."""
        try:
            async with asyncio.timeout(LOG_PATIENCE_SECONDS):
                sent = [
                    await self._producer.send(self._topic, encode_record(one), key=one.ven_id.encode())
                    for one in dispatches
                ]
                written = await asyncio.gather(*map(asyncio.shield, sent))
        except (TimeoutError, KafkaError) as error:
            raise LogAwayError(f"{type(error).__name__}: {error}") from None
        return {
            one.correlation_id: datetime.fromtimestamp(record.timestamp / 1000, UTC)
            for one, record in zip(dispatches, written, strict=True)
        }


def _each_its_own(command_of: Callable[[str], Command], ven_ids: Iterable[str]) -> list[Command]:
    """Make a command for each VEN; of a hundred thousand with eight digits at random two are alike, likely as not."""
    made: dict[str, Command] = {}
    for ven_id in ven_ids:
        while (command := command_of(ven_id)).correlation_id in made:
            pass
        made[command.correlation_id] = command
    return list(made.values())


async def _now(connection: Connection) -> datetime:
    now: datetime = await connection.fetchval(CLOCK)
    return now
