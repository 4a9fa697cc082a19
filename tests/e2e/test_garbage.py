"""Bad payloads among good ones: the good are stored, the bad kept with their reason, and nobody falls over."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.fleet.malformed import malformed_payloads
from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.topics import HEADER_DETAIL, HEADER_REASON
from tests.support.kafka_records import read_all
from tests.support.publishing import publish

TOPIC = "volttron/metering"
GOOD = 200


async def test_bad_payloads_become_dead_letters_and_good_ones_rows(system: System, stored: Connection) -> None:
    restarts = {name: worker.restarts for name, worker in system.workers.items()}
    now = datetime.now(UTC)
    bad = [case for case in malformed_payloads(7, now) if case.expected_reason is not None]
    odd = [case for case in malformed_payloads(7, now) if case.expected_reason is None]
    good = [
        msgspec.json.encode({"venId": f"ven-good-{number}", "timestamp": now.timestamp(), "usedPowerKw": 1.0 + number})
        for number in range(GOOD)
    ]
    mixed = [*good[: GOOD // 2], *(case.payload for case in bad), *(case.payload for case in odd), *good[GOOD // 2 :]]
    await publish(system.stack.mqtt_host, system.stack.mqtt_port, [(TOPIC, payload) for payload in mixed])

    async def letters_of_these() -> list[Any]:
        payloads = {case.payload for case in bad}
        return [letter for letter in await read_all(system.kafka, "ven.raw.metering.dlq") if letter.value in payloads]

    async def all_settled() -> bool:
        rows = await stored.fetchval("SELECT count(*) FROM telemetry_readings WHERE ven_id LIKE 'ven-good-%'")
        return bool(rows == GOOD and len(await letters_of_these()) >= len(bad))

    assert await wait_until(all_settled, timeout=60, every=0.5)
    letters = await letters_of_these()
    reasons = {letter.value: dict(letter.headers)[HEADER_REASON].decode() for letter in letters}
    assert {case.name: reasons.get(case.payload) for case in bad} == {case.name: case.expected_reason for case in bad}
    assert len(letters) == len(bad)
    assert all(dict(letter.headers)[HEADER_DETAIL] for letter in letters)
    assert {name: worker.restarts for name, worker in system.workers.items()} == restarts

    rows = await stored.fetch(
        "SELECT ven_id, used_power_kw FROM telemetry_readings WHERE ven_id LIKE 'ven-malformed-%' ORDER BY ven_id"
    )
    # Good all the same: a key that comes twice, a large payload, and a reading of which one load is bad.
    names = [row["ven_id"].split("-", 3)[3] for row in rows]
    assert names == ["duplicate-keys", "large", "nul-in-load"]
