"""Canonical records, and the stores of one sink worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.base.time_window import TimeWindow
from schemas.parsing.acks import Ack, Curtailment
from schemas.parsing.status import VenStatus
from schemas.records.telemetry import FaultReport, Load, LoadSnapshot, Reading
from schemas.settings.blocks import DatabaseSettings
from streams.dr.ack_store import AckStore
from streams.sink.document_store import store_shadows, store_vtn_messages
from streams.sink.telemetry_store import fault_store, reading_store, snapshot_store
from streams.store.database import Database, database
from streams.store.day_partitions import DayPartitions
from streams.store.row_store import RowStore, UpsertStore
from streams.store.ven_status import record_status

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
"""Noon of yesterday: its partition exists, and it is not in the future."""

HVAC = Load("hvac", "HVAC", "hvac", 7.2, 2.0, 1.5, priority=5)
FRIDGE = Load("fridge", None, None, 1.0, 0.25, 0.0, enabled=False)


def reading(ven_id: str = "ven-1", second: float = 0, **fields: Any) -> Reading:
    """Make a reading that was measured and received `second` seconds after `NOON`."""
    moment = NOON + timedelta(seconds=second)
    values: dict[str, Any] = {"timestamp": moment, "received_at": moment, "used_power_kw": 1.0}
    return Reading(ven_id=ven_id, **{**values, **fields})


def at(second: float) -> datetime:
    """Return the time `second` seconds after `NOON`."""
    return NOON + timedelta(seconds=second)


def snapshot(ven_id: str = "ven-1", second: float = 0, received: float | None = None, *loads: Load) -> LoadSnapshot:
    """Make a load snapshot, by default received when it was measured."""
    received_at = at(second if received is None else received)
    return LoadSnapshot(ven_id=ven_id, timestamp=at(second), received_at=received_at, loads=loads)


def status(status: str, received: float, ven_id: str = "ven-1") -> VenStatus:
    """Make a status that a VEN reports."""
    return VenStatus(ven_id=ven_id, received_at=at(received), status=status)


def ack(second: float = 0, *circuits: Curtailment, ven_id: str = "ven-1", **fields: Any) -> Ack:
    """Make an acknowledgement, received when it was sent."""
    values: dict[str, Any] = {"received_at": at(second), "op": "event", "status": "accepted", "correlation_id": "c-1"}
    return Ack(ven_id=ven_id, timestamp=at(second), circuits=circuits, **{**values, **fields})


class Stores(NamedTuple):
    """The stores of one sink worker."""

    database: Database
    partitions: DayPartitions
    readings: RowStore[Reading]
    faults: RowStore[FaultReport]
    snapshots: RowStore[LoadSnapshot]
    acks: AckStore
    statuses: UpsertStore[VenStatus]
    shadows: UpsertStore[Any]
    vtn_messages: UpsertStore[Any]


@asynccontextmanager
async def stores(
    settings: DatabaseSettings, *, retention_days: int = 90, connections: int = 1
) -> AsyncIterator[Stores]:
    """Open the stores of one worker."""
    async with database(settings, "test-sink", connections) as opened:
        partitions = DayPartitions(opened, TimeWindow(retention_days, timedelta(minutes=5)), 7)
        yield Stores(
            opened,
            partitions,
            reading_store(opened, partitions),
            fault_store(opened, partitions),
            snapshot_store(opened, partitions),
            AckStore(opened, partitions),
            UpsertStore(opened, record_status),
            UpsertStore(opened, store_shadows),
            UpsertStore(opened, store_vtn_messages, partitions),
        )
