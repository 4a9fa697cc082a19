"""Stores acks, and fills in what devices left out of their circuits."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from runtime.database import Connection
from runtime.metrics import ACK_SECONDS, ACKS, COMMAND_STEPS
from schemas.parsing.acks import Ack, Curtailment
from schemas.records.telemetry import encode_record
from streams.dr.command_store import match_acks, record_acks
from streams.dr.tracing import trace_answered
from streams.store.bulk_insert import Row
from streams.store.database import Database, TransactionHook, json_text
from streams.store.day_partitions import DayPartitions
from streams.store.row_store import RowStore, TableRows
from streams.store.ven_status import record_contact

ACK_COLUMNS = (
    "ven_id",
    "time",
    "op",
    "correlation_id",
    "received_at",
    "status",
    "event_id",
    "requested_shed_kw",
    "actual_shed_kw",
    "circuits",
    "error",
    "extra",
    "device_time",
    "timed_by_arrival",
)

# A repeated ack without a time of its own arrives at another time: all its other fields identify it.
KNOWN_TIME = """
SELECT time FROM ven_acks
WHERE ven_id = $1 AND correlation_id = $2 AND op = $3 AND status = $4 AND device_time IS NOT DISTINCT FROM $5
ORDER BY time LIMIT 1
"""

# The last power of circuits before a time, within an hour: older values do not show what was shed. Of a reading and a
# snapshot of the same time the reading counts.
LAST_POWER = """
SELECT DISTINCT ON (load_id) load_id, current_power_kw
FROM (SELECT load_id, time, current_power_kw, true AS of_reading FROM telemetry_loads
      WHERE ven_id = $1 AND time <= $2 AND time > $2 - interval '1 hour' AND load_id = ANY ($3)
      UNION ALL
      SELECT load_id, time, current_power_kw, false FROM load_snapshots
      WHERE ven_id = $1 AND time <= $2 AND time > $2 - interval '1 hour' AND load_id = ANY ($3)) AS known
WHERE current_power_kw IS NOT NULL
ORDER BY load_id, time DESC, of_reading DESC
"""


_STEPS = {True: "acknowledged", False: "refused", None: "answered"}


class AckStore:
    """Stores batches of acks, each in one transaction."""

    def __init__(self, database: Database, partitions: DayPartitions) -> None:
        self._database = database
        rows = TableRows("ven_acks", ACK_COLUMNS, _ack_rows)
        self._rows = RowStore(database, partitions, (rows,), self._update_commands, key=_key)
        self._answered: list[Any] = []
        self._matched: dict[str, int] = {}
        self.tables = self._rows.tables

    def exclusive_keys(self, _acks: Sequence[Ack]) -> AbstractAsyncContextManager[None]:
        """Need no others kept away: its batches come one by one."""
        return nullcontext()

    async def store(self, acks: Sequence[Ack], hook: TransactionHook | None = None) -> Sequence[Ack]:
        """Store acknowledgements; as RowStore.store."""
        first: dict[tuple[object, ...], datetime] = {}
        known = [await self._with_first_arrival_time(ack, first) for ack in acks]
        conflicts = await self._rows.store([await self._fill_in_powers(ack) for ack in known], hook)
        for row in self._answered:
            COMMAND_STEPS.labels(row["kind"], _STEPS[row["good"]]).inc()
            ACK_SECONDS.labels(row["kind"]).observe(max(0.0, row["seconds"]))
            trace_answered(row)
        for by, number in self._matched.items():
            ACKS.labels(by).inc(number)
        return conflicts

    async def _update_commands(self, connection: Connection, acks: Sequence[Ack]) -> None:
        await record_contact(connection, acks)
        commands, self._matched = await match_acks(connection, acks)
        self._answered = await record_acks(connection, acks, commands)

    async def _with_first_arrival_time(self, ack: Ack, first: dict[tuple[object, ...], datetime]) -> Ack:
        """Give a repeated ack without a time of its own the time at which it first arrived."""
        if not ack.timed_by_arrival or not (ack.correlation_id or ack.device_time):
            return ack
        words = (ack.ven_id, ack.correlation_id, ack.op, ack.status, ack.device_time)
        if words not in first:
            came = await self._database.run(lambda connection: connection.fetchval(KNOWN_TIME, *words))
            first[words] = came or ack.timestamp
        return msgspec.structs.replace(ack, timestamp=first[words])

    async def _fill_in_powers(self, ack: Ack) -> Ack:
        unknown = [circuit.id for circuit in ack.circuits if circuit.original_kw is None]
        if not unknown:
            return ack
        powers = await self._database.run(partial(_last_power, ven_id=ack.ven_id, before=ack.timestamp, loads=unknown))
        circuits = tuple(complete(circuit, powers.get(circuit.id)) for circuit in ack.circuits)
        return msgspec.structs.replace(ack, circuits=circuits)


async def _last_power(connection: Connection, ven_id: str, before: datetime, loads: Sequence[str]) -> dict[str, float]:
    rows = await connection.fetch(LAST_POWER, ven_id, before, loads)
    return {row["load_id"]: row["current_power_kw"] for row in rows}


def complete(circuit: Curtailment, last_power_kw: float | None) -> Curtailment:
    """Fill in the power before and after the shed, where the device reported only the curtailed power."""
    if circuit.original_kw is not None:
        return circuit
    original = circuit.curtailed_kw if last_power_kw is None else last_power_kw
    return msgspec.structs.replace(circuit, original_kw=original, final_kw=max(0.0, original - circuit.curtailed_kw))


def _key(ack: Ack) -> tuple[object, ...]:
    return (ack.ven_id, ack.timestamp, ack.op, ack.correlation_id)


def _ack_rows(acks: Iterable[Ack]) -> list[Row]:
    return [_ack_row(ack) for ack in acks]


def _ack_row(ack: Ack) -> Row:
    return (
        ack.ven_id,
        ack.timestamp,
        ack.op,
        ack.correlation_id,
        ack.received_at,
        ack.status,
        ack.event_id,
        ack.requested_shed_kw,
        ack.actual_shed_kw,
        encode_record(ack.circuits).decode(),
        ack.error,
        json_text(ack.extra),
        ack.device_time,
        ack.timed_by_arrival,
    )
