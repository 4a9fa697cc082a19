"""The outbox while its publishers are killed (-9): every committed row is published, in order, and no other."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from api.queries.commands import insert_command
from api.queries.dead_letter_replays import REQUEST
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.dr.commands import other_command
from schemas.mqtt.routing import Kind
from schemas.records.commands import decode_command_record
from schemas.records.dead_letters import ReplayOf
from schemas.records.minutes import decode_minute
from schemas.records.topics import COMMANDS, DISABLED, HEADER_REPLAY_OF, MINUTES
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.kafka_records import read_all
from tests.support.paths import ROOT
from tests.support.servers import connect

SEED = 17
WRITERS = 6
KILLS = 6
WORKERS = 2
MINUTE = datetime.now(UTC).replace(second=0, microsecond=0)

SET_MINUTE = """
WITH rolled AS (
    INSERT INTO telemetry_minutes (ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum, version)
    VALUES ($1, $2, $3, 0, 0, 0, 0, nextval('telemetry_minute_versions'))
    ON CONFLICT (ven_id, time) DO UPDATE SET samples = excluded.samples, version = excluded.version
    RETURNING ven_id, time
)
INSERT INTO outbox (kind, key, time) SELECT 'minute', ven_id, time FROM rolled
"""
ADD_DEAD_LETTER = """
INSERT INTO dead_letters (id, time, source_topic, reason, detail, key, headers, payload)
VALUES ($1, $2, $3, 'not_json', 'x', $4, '{}', $4)
"""


class RolledBackError(Exception):
    """Ends a transaction that must leave nothing."""


@dataclass
class Committed:
    """What writers committed."""

    commands: dict[str, list[str]] = field(default_factory=dict)  # by VEN, in order
    minutes: dict[str, list[int]] = field(default_factory=dict)  # samples of each version, by VEN
    disabled: dict[str, bool] = field(default_factory=dict)
    replays: set[str] = field(default_factory=set)


class Writer:
    """Commits and rolls back changes of one VEN, with pauses, so that ids are committed out of order."""

    def __init__(self, ven_id: str, rows: Any, topic: str, committed: Committed, choose: random.Random) -> None:
        self._ven_id = ven_id
        self._rows = rows
        self._topic = topic
        self._committed = committed
        self._choose = choose
        self._number = 0

    async def prepare(self) -> None:
        """Register the VEN."""
        await self._rows.execute("INSERT INTO vens (ven_id, name) VALUES ($1, $1)", self._ven_id)
        self._committed.commands[self._ven_id] = []
        self._committed.minutes[self._ven_id] = []

    async def write_until(self, stop: asyncio.Event) -> None:
        """Write one transaction after the other."""
        changes = (self._command, self._minute, self._disable, self._replay)
        while not stop.is_set():
            chosen = self._choose.choices(changes, k=self._choose.randint(1, 4))
            rolled_back = self._choose.random() < 0.2
            committed: list[Callable[[], object]] = []
            with suppress(RolledBackError):
                async with self._rows.transaction():
                    for change in chosen:
                        committed.append(await change())
                        await asyncio.sleep(self._choose.random() * 0.04)
                    if rolled_back:
                        raise RolledBackError
            if not rolled_back:
                for note in committed:
                    note()

    async def _command(self) -> Callable[[], object]:
        command = other_command(self._ven_id, "ping", None)
        await insert_command(self._rows, command)
        return lambda: self._committed.commands[self._ven_id].append(command.correlation_id)

    async def _minute(self) -> Callable[[], object]:
        self._number += 1
        samples = self._number
        await self._rows.execute(SET_MINUTE, self._ven_id, MINUTE, samples)
        return lambda: self._committed.minutes[self._ven_id].append(samples)

    async def _disable(self) -> Callable[[], object]:
        disabled = self._choose.random() < 0.5
        status = "disabled" if disabled else "offline"
        await self._rows.execute("UPDATE vens SET status = $2 WHERE ven_id = $1", self._ven_id, status)
        return lambda: self._committed.disabled.update({self._ven_id: disabled})

    async def _replay(self) -> Callable[[], object]:
        self._number += 1
        dead_letter_id = f"{int(self._ven_id[-1]):x}{self._number:015x}"
        await self._rows.execute(ADD_DEAD_LETTER, dead_letter_id, MINUTE, self._topic, self._ven_id.encode())
        await self._rows.fetch(REQUEST, dead_letter_id, MINUTE, None, None)
        return lambda: self._committed.replays.add(dead_letter_id)


class Workers:
    """Processes that publish; when one is killed, another takes its place."""

    def __init__(self, kafka: KafkaSettings, database: DatabaseSettings) -> None:
        self._environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
            "DB_HOST": database.db_host,
            "DB_PORT": str(database.db_port),
            "DB_USER": database.db_user,
            "DB_PASSWORD": database.db_password.get_secret_value(),
            "DB_NAME": database.db_name,
        }
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Start one more."""
        command = (sys.executable, "-m", "tests.support.outbox_worker")
        self._running.append(await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=self._environment))

    async def kill(self, number: int) -> None:
        """Kill one (-9); none has ended by itself."""
        process = self._running.pop(number)
        assert process.returncode is None
        process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def workers(kafka: KafkaSettings, database: DatabaseSettings) -> AsyncIterator[Workers]:
    made = Workers(kafka, database)
    try:
        for _ in range(WORKERS):
            await made.start()
        yield made
    finally:
        while made._running:
            await made.kill(0)


@asynccontextmanager
async def writers(database: DatabaseSettings, topic: str) -> AsyncIterator[Committed]:
    """Have changes committed meanwhile; at the end nobody writes any more."""
    committed, stop = Committed(), asyncio.Event()
    connections = [await connect(database) for _ in range(WRITERS)]
    try:
        made = [
            Writer(f"ven-{n}", rows, topic, committed, random.Random(SEED + n)) for n, rows in enumerate(connections)
        ]
        for writer in made:
            await writer.prepare()
        async with asyncio.TaskGroup() as tasks:
            for writer in made:
                tasks.create_task(writer.write_until(stop))
            yield committed
            stop.set()
    finally:
        for rows in connections:
            await rows.close()


def newest_is_published(rows: Connection, row_id: int | None) -> Callable[[], Awaitable[bool]]:
    """Return what asks whether a row is published, or all are."""

    async def published() -> bool:
        pending = "SELECT EXISTS (SELECT FROM outbox WHERE $1::bigint IS NULL OR id = $1)"
        return not await rows.fetchval(pending, row_id)

    return published


@pytest.mark.timeout(240)
async def test_committed_rows_are_published_in_order_despite_kills(
    kafka: KafkaSettings, database: DatabaseSettings, rows: Connection
) -> None:
    choose = random.Random(SEED)
    topic = kafka.topics.raw(Kind.METERING)
    async with workers(kafka, database) as running:
        async with writers(database, topic) as committed:
            for _ in range(KILLS):
                # Workers need seconds to start: some of them publish by now.
                assert await wait_until(
                    newest_is_published(rows, await rows.fetchval("SELECT max(id) FROM outbox")), 60
                )
                await asyncio.sleep(choose.random() * 0.3)
                await running.kill(choose.randrange(WORKERS))
                await running.start()
        assert await wait_until(newest_is_published(rows, None), 60)

    await commands_are_exact(kafka, rows, committed)
    await minutes_are_exact(kafka, committed)
    await disabled_vens_are_exact(kafka, committed)
    await replays_are_exact(kafka, rows, topic, committed)


async def commands_are_exact(kafka: KafkaSettings, rows: Connection, committed: Committed) -> None:
    published: dict[str, dict[str, Any]] = {ven_id: {} for ven_id in committed.commands}
    for record in await read_all(kafka, kafka.topics(COMMANDS)):
        command = decode_command_record(record.value)
        first = published[command.ven_id].setdefault(command.correlation_id, command)
        assert first == command, "published again with another content"
    assert {ven_id: list(found) for ven_id, found in published.items()} == committed.commands
    assert sum(map(len, committed.commands.values())) > 50
    assert await rows.fetchval("SELECT count(*) FROM commands WHERE logged_at IS NULL") == 0


async def minutes_are_exact(kafka: KafkaSettings, committed: Committed) -> None:
    last: dict[str, Any] = {}
    for record in await read_all(kafka, kafka.topics(MINUTES)):
        minute = decode_minute(record.value)
        assert minute.samples in committed.minutes[minute.ven_id], "published without a commit"
        known = last.get(minute.ven_id)
        # The highest version counts, wherever it is in the topic.
        if known is None or minute.version > known.version:
            last[minute.ven_id] = minute
        else:
            assert minute.version < known.version or minute == known, "two of one version differ"
    assert {ven_id: minute.samples for ven_id, minute in last.items()} == {
        ven_id: samples[-1] for ven_id, samples in committed.minutes.items()
    }


async def disabled_vens_are_exact(kafka: KafkaSettings, committed: Committed) -> None:
    last = {record.key.decode(): bool(record.value) for record in await read_all(kafka, kafka.topics(DISABLED))}
    # A VEN that was never disabled is not in the topic.
    assert {ven_id for ven_id, disabled in last.items() if disabled} == {
        ven_id for ven_id, disabled in committed.disabled.items() if disabled
    }


async def replays_are_exact(kafka: KafkaSettings, rows: Connection, topic: str, committed: Committed) -> None:
    replayed = {
        replay.dead_letter_id
        for record in await read_all(kafka, topic)
        if (replay := ReplayOf.parse(dict(record.headers)[HEADER_REPLAY_OF])) is not None
    }
    assert replayed == committed.replays == {row["id"] for row in await rows.fetch("SELECT id FROM dead_letters")}
    assert await rows.fetchval("SELECT count(*) FROM dead_letters WHERE state <> 'sent'") == 0
