"""A dead letter comes back through the whole system, as operators see it."""

import json
import time
from typing import Any

from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from tests.support.pipeline import REQUEST
from tests.support.publishing import publish

WAIT = 60
VEN_ID = "ven-replayed"


async def letter(stored: Connection) -> dict[str, Any] | None:
    row = await stored.fetchrow("SELECT * FROM dead_letters WHERE ven_id = $1", VEN_ID)
    return None if row is None else dict(row)


async def becomes(stored: Connection, state: str) -> dict[str, Any]:
    found: dict[str, Any] | None = None

    async def reached() -> bool:
        nonlocal found
        found = await letter(stored)
        return found is not None and found["state"] == state

    assert await wait_until(reached, WAIT), found
    assert found is not None
    return found


async def test_a_corrected_dead_letter_counts_once(system: System, stored: Connection) -> None:
    stamp = int(time.time()) - 120
    bad = json.dumps({"venId": VEN_ID, "timestamp": stamp, "usedPowerKw": "2,5"}).encode()
    await publish(system.stack.mqtt_host, system.stack.mqtt_port, [("volttron/metering", bad)])
    found = await becomes(stored, "open")
    assert (found["reason"], found["payload"], found["mqtt_topic"]) == ("bad_value", bad, "volttron/metering")

    await stored.execute(REQUEST, found["id"], bad)
    again = await becomes(stored, "rejected")
    assert again["state_detail"].startswith("bad_value: ")
    assert await stored.fetchval("SELECT count(*) FROM dead_letters WHERE ven_id = $1", VEN_ID) == 1

    corrected_payload = bad.replace(b'"2,5"', b"2.5")
    await stored.execute(REQUEST, found["id"], corrected_payload)
    again = await becomes(stored, "stored")
    assert (again["replays"], again["corrected_payload"], again["state_detail"]) == (2, corrected_payload, None)
    readings = "SELECT * FROM telemetry_readings WHERE ven_id = $1"
    before = await stored.fetch(readings, VEN_ID)
    assert [(row["used_power_kw"], int(row["time"].timestamp())) for row in before] == [(2.5, stamp)]
    # It was received when it first came.
    assert before[0]["received_at"] == found["time"]

    await stored.execute(REQUEST, found["id"], corrected_payload)
    await becomes(stored, "already_stored")
    assert await stored.fetch(readings, VEN_ID) == before
    assert await stored.fetchval("SELECT count(*) FROM outbox WHERE key = $1", found["id"]) == 0
