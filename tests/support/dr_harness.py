"""Dispatcher, command monitor and outbox on real servers; a test adds the readings, acks and delivery evidence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.database import Connection
from runtime.kafka import producer
from schemas.parsing.acks import Ack
from schemas.records.commands import CommandRecord, DeliveryEvidence, DeliveryState, decode_command_record
from schemas.records.telemetry import Load, Reading
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import DatabaseSettings, DispatchSettings, KafkaSettings
from streams.dr.command_monitor import CommandMonitor
from streams.dr.command_outbox_source import command_source
from streams.dr.command_store import record_evidence
from streams.dr.dispatcher import Dispatcher
from streams.outbox.publisher import OutboxPublisher
from streams.store.database import database as open_database
from tests.support.kafka_records import read_all
from tests.support.readings import Stores, stores
from tests.support.servers import connection

OFFLINE_AFTER = 60.0
SHEDS: dict[str, Any] = {"event_id": "evt-1", "shed_power_kw": 2.0}
"""Fields of a reading that reports the event and a shed."""
VEN_STATUS_TIMES = (
    "received_at",
    "reading_received_at",
    "measured_at",
    "sampled_at",
    "used_power_at",
    "shed_power_at",
    "event_at",
    "battery_soc_at",
    "loads_measured_at",
    "left_at",
)
COMMAND_TIMES = (
    "created_at",
    "expires_at",
    "ends_at",
    "logged_at",
    "sending_at",
    "sent_at",
    "acked_at",
    "reported_at",
    "shed_at",
)


@dataclass
class DrHarness:
    """The stores of a sink, the DR jobs, and a connection to read rows."""

    kafka: KafkaSettings
    rows: Connection
    sink: Stores
    dispatcher: Dispatcher
    monitor: CommandMonitor
    publisher: OutboxPublisher
    _measured: dict[str, datetime] = field(default_factory=dict)

    async def reading(self, ven_id: str, can_kw: float | None = 4.0, **fields: Any) -> None:
        """Store a reading of now with one load that can shed `can_kw`; None omits the loads."""
        now = datetime.now(UTC)
        # Samples of one VEN need distinct times in milliseconds.
        now = max(now, self._measured.get(ven_id, now) + timedelta(milliseconds=1))
        self._measured[ven_id] = now
        loads = None if can_kw is None else (Load("hvac", shed_capability_kw=can_kw),)
        values = {"timestamp": now, "received_at": now, "used_power_kw": 5.0, "shed_power_kw": 0.0, "loads": loads}
        await self.sink.readings.store([Reading(ven_id=ven_id, **{**values, **fields})])

    async def event(
        self, event_id: str = "evt-1", kw: float = 10.0, *, start: float = -1, end: float = 600, **columns: Any
    ) -> str:
        """Create an event that starts and ends so many seconds from now."""
        columns = {"ven_ids": None, **columns}
        names = "".join(f", {name}" for name in columns)
        places = "".join(f", ${n}" for n in range(5, 5 + len(columns)))
        await self.rows.execute(
            f"INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw{names}) "  # noqa: S608
            f"VALUES ($1, now() + $2 * interval '1 s', now() + $3 * interval '1 s', $4{places})",
            event_id,
            float(start),
            float(end),
            kw,
            *columns.values(),
        )
        return event_id

    async def start_event(self) -> None:
        """Start the event `evt-1` with the online VEN `a`."""
        await self.reading("a")
        await self.event()
        await self.run_once()

    async def shed_until_the_end(self) -> None:
        """Let the VEN `a` report and shed the event, then end it: its restore is published and nothing more."""
        await self.evidence("sent", "a")
        await self.reading("a", **SHEDS)
        await self.run_once()
        await self.rows.execute("UPDATE events SET ended_at = now()")
        await self.run_once()

    async def run_once(self) -> None:
        """Run the dispatcher, the command monitor and the publisher once each."""
        await self.dispatcher.act()
        await self.monitor.run_once()
        await self.publisher.publish_pending()

    async def advance(self, seconds: float) -> None:
        """Let time pass: move every stored time into the past."""
        past = f"- interval '{seconds} seconds'"
        tables = {
            "events": ("start_time", "end_time", "created_at", "started_at", "ended_at", "cancelled_at"),
            "commands": COMMAND_TIMES,
            "ven_status": VEN_STATUS_TIMES,
            "telemetry_readings": ("time", "received_at"),
        }
        for table, columns in tables.items():
            moves = ", ".join(f"{column} = {column} {past}" for column in columns)
            await self.rows.execute(f"UPDATE {table} SET {moves}")  # noqa: S608 - our own names
        self._measured = {ven_id: at - timedelta(seconds=seconds) for ven_id, at in self._measured.items()}

    async def operator_command(self, correlation_id: str, ven_id: str, op: str, **columns: Any) -> None:
        """Store a command of an operator, as the API does."""
        values = {"correlation_id": correlation_id, "ven_id": ven_id, "op": op, "payload": "{}", **columns}
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await self.rows.execute(
            f"INSERT INTO commands ({', '.join(values)}) VALUES ({places})",  # noqa: S608 - our own names
            *values.values(),
        )
        await self.rows.execute("INSERT INTO outbox (kind, key) VALUES ('command', $1)", correlation_id)

    async def forget_publication(self) -> None:
        """Put the rows back as they were before commands were published, as a crash before the commit does."""
        await self.rows.execute("UPDATE commands SET logged_at = NULL")
        await self.rows.execute("INSERT INTO outbox (kind, key) SELECT 'command', correlation_id FROM commands")

    async def shares(self, event_id: str = "evt-1") -> dict[str, Any]:
        """Return the rows of `event_vens` by VEN."""
        found = await self.rows.fetch("SELECT * FROM event_vens WHERE event_id = $1 ORDER BY ven_id", event_id)
        return {row["ven_id"]: row for row in found}

    async def commands(self, phase: str | None = "event") -> dict[str, Any]:
        """Return the last command of a phase by VEN."""
        found = await self.rows.fetch("SELECT * FROM commands WHERE phase IS NOT DISTINCT FROM $1 ORDER BY seq", phase)
        return {row["ven_id"]: row for row in found}

    async def evidence(self, state: DeliveryState, ven_id: str, phase: str | None = "event", attempt: int = 1) -> None:
        """Store a record of the bridge about the last command of a VEN."""
        command = (await self.commands(phase))[ven_id]
        record = DeliveryEvidence(
            correlation_id=command["correlation_id"],
            ven_id=ven_id,
            attempt=attempt,
            state=state,
            at=datetime.now(UTC),
        )
        await self.sink.database.run(lambda connection: record_evidence(connection, [record]))

    async def ack(self, ven_id: str, correlation_id: str | None = None, **fields: Any) -> None:
        """Store an ack of a VEN, by default for its event command."""
        now = datetime.now(UTC)
        if correlation_id is None:
            correlation_id = (await self.commands())[ven_id]["correlation_id"]
        values = {"op": "event", "status": "accepted", **fields}
        await self.sink.acks.store(
            [Ack(ven_id=ven_id, timestamp=now, received_at=now, correlation_id=correlation_id, **values)]
        )

    async def published(self) -> list[CommandRecord]:
        """Return the records of `ven.commands`, by VEN and in order."""
        found = [
            decode_command_record(record.value) for record in await read_all(self.kafka, self.kafka.topics(COMMANDS))
        ]
        return sorted(found, key=lambda one: one.ven_id)


@asynccontextmanager
async def dr_harness(kafka: KafkaSettings, database: DatabaseSettings, **settings: Any) -> AsyncIterator[DrHarness]:
    """Open the connections and build the jobs; `settings` are those of the dispatcher."""
    async with (
        connection(database) as rows,
        stores(database) as sink,
        producer(kafka, "test") as log,
        open_database(database, "test-dispatch") as dispatching,
        open_database(database, "test-monitor") as monitoring,
        open_database(database, "test-outbox") as publishing,
    ):
        made = DispatchSettings(**settings)
        dispatcher = Dispatcher(dispatching, made, OFFLINE_AFTER)
        commands = command_source(kafka.topics(COMMANDS), made.command_expires_seconds)
        publisher = OutboxPublisher(publishing, log, commands)
        yield DrHarness(kafka, rows, sink, dispatcher, CommandMonitor(monitoring, made, OFFLINE_AFTER), publisher)
