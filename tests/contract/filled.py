"""A database with something of everything in it, under the ids that the examples of the API's description have."""

import json
from datetime import UTC, datetime, timedelta

from msgspec import structs

from runtime.database import Connection
from schemas.dr.commands import event_command
from schemas.parsing.acks import Ack, Curtailment
from schemas.parsing.status import VenStatus
from schemas.records.telemetry import FaultReport, Load, LoadSnapshot
from schemas.settings.blocks import DatabaseSettings
from streams.dr.ack_store import AckStore
from tests.support.command_rows import choose, tell
from tests.support.letters import letter, write
from tests.support.readings import reading, stores
from tests.support.servers import connection

VEN, LOAD, EVENT, LETTER = "ven-001", "hvac1", "evt-1f0c9a3b", "5f0c8a1be0d29a47"
# Of another VEN: what takes part in an event is sent no other, and the examples send one.
TOLD, COMMAND = "ven-002", "evt-evt-1f0c9a3b-ab12cd34"
LOADS = (Load(LOAD, "HVAC", "hvac", 7.2, 2.1, 2.1, priority=5), Load("ev1", None, None, None, None, None))
CIRCUITS = (
    Curtailment(
        id="ev1", name="EV Charger", breaker_amps=50.0, original_kw=8.5, curtailed_kw=4.8, final_kw=3.7, critical=False
    ),
    Curtailment(
        id=LOAD, name="HVAC", breaker_amps=None, original_kw=None, curtailed_kw=0.1, final_kw=None, critical=True
    ),
)


async def fill(settings: DatabaseSettings) -> None:
    """Store what VENs sent within the last minutes, and rows of what operators did."""
    now = datetime.now(UTC)
    async with stores(settings) as store, connection(settings) as rows:
        for number in range(1, 4):
            ven_id = f"ven-{number:03}"
            await store.readings.store(
                [
                    reading(
                        ven_id,
                        timestamp=now - timedelta(seconds=5 * back),
                        received_at=now - timedelta(seconds=5 * back),
                        used_power_kw=None if back == 2 else 8.2 + back,
                        shed_power_kw=None if back == 3 else 4.8,
                        event_id=EVENT if back < 10 else None,
                        requested_reduction_kw=5.0,
                        battery_soc=0.85,
                        loads=LOADS,
                    )
                    for back in range(30)
                ]
            )
            snapshots = [
                LoadSnapshot(ven_id=ven_id, timestamp=now - timedelta(seconds=30 * n + 2), received_at=now, loads=LOADS)
                for n in range(3)
            ]
            await store.snapshots.store(snapshots)
            await store.faults.store([FaultReport(ven_id, now, now, "CT clamp 2 lost")])
            await store.statuses.store([VenStatus(ven_id=ven_id, received_at=now, status="ready")])
        await _events(rows, now)
        acks = AckStore(store.database, store.partitions)
        shed = Ack(
            ven_id=VEN,
            timestamp=now,
            received_at=now,
            op="event",
            status="accepted",
            correlation_id="c-1",
            event_id=EVENT,
            requested_shed_kw=5.0,
            actual_shed_kw=4.8,
            circuits=CIRCUITS,
        )
        told = structs.replace(shed, ven_id=TOLD, correlation_id=COMMAND)
        await acks.store([shed, told, Ack(ven_id=VEN, timestamp=now, received_at=now, op="ping", status="success")])
        await _records(rows, now)


async def _events(rows: Connection, now: datetime) -> None:
    hour = timedelta(hours=1)
    for event_id, start in ((EVENT, now - hour / 2), ("evt-past", now - 3 * hour), ("evt-next", now + hour)):
        await rows.execute(
            "INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw) VALUES ($1, $2, $3, 250)",
            event_id,
            start,
            start + hour,
        )
    await rows.execute(
        "INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, created_at) "
        "VALUES ('c-1', $1, 'event', $2, '{}', $3)",
        VEN,
        EVENT,
        now - timedelta(seconds=1),
    )
    await choose(rows, EVENT, TOLD, 5.0, "proportional", capability_kw=6.1)
    command = event_command(TOLD, EVENT, 5.0, 1800)
    await tell(
        rows,
        EVENT,
        TOLD,
        decided_at=now - timedelta(seconds=1),
        ends_at=now + hour / 2,
        correlation_id=COMMAND,
        payload={**command.payload, "correlationId": COMMAND},
        logged_at=0.02,
        sending_at=0.03,
        sent_at=0.04,
        reported_at=1,
        shed_at=1,
    )


async def _records(rows: Connection, now: datetime) -> None:
    shadow = json.dumps({"state": {"reported": {"power_kw": 8.2, "active_event": None}}})
    await rows.execute("INSERT INTO ven_shadows (ven_id, received_at, document) VALUES ($1, $2, $3)", VEN, now, shadow)
    for kind, ven_id in (("events", None), ("responses", VEN)):
        await rows.execute(
            "INSERT INTO notices (time, kind, digest, received_at, last_received_at, ven_id, topic, document) "
            "VALUES ($1, $2, 'd', $1, $1, $3, 'openadr/response', '{\"response\": \"ack\"}')",
            now,
            kind,
            ven_id,
        )
    await write(rows, [letter(LETTER), letter("binary", 1, payload=b"\xff", mqtt_topic=None, ven_id=None)])
