"""What the processes of a running system show to Prometheus, as it would see them."""

import json
import time

import httpx

from gateway.local.system import System
from gateway.stack.polling import wait_until
from streams.roles import ROLES
from tests.support.metrics import Shown, parsed, series
from tests.support.publishing import publish

WAIT = 90


async def shown_by(system: System, name: str) -> Shown:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return parsed((await client.get(f"{system.workers[name].health}/metrics")).raise_for_status().text)


async def test_a_message_is_counted_from_receipt_to_rows(system: System) -> None:
    before = (await shown_by(system, "streams-sink")).get("gateway_rows_stored_total", {})
    loads = [{"id": "a", "currentPowerKw": 1}, {"id": "b", "currentPowerKw": 2}]
    sample = json.dumps({"venId": "ven-counted", "timestamp": time.time(), "usedPowerKw": 3, "loads": loads}).encode()
    # What comes twice is stored once.
    await publish(system.stack.mqtt_host, system.stack.mqtt_port, [("volttron/metering", sample)] * 2)

    async def stored() -> bool:
        rows = (await shown_by(system, "streams-sink")).get("gateway_rows_stored_total", {})
        new = {table: number - before.get(table, 0) for table, number in rows.items()}
        return new.get(("telemetry_readings",)) == 1 and new.get(("telemetry_loads",)) == 2

    assert await wait_until(stored, WAIT)
    bridge = await shown_by(system, "bridge")
    assert bridge["gateway_messages_received_total"]["metering",] >= 2

    async def nothing_waits() -> bool:
        shown = [await shown_by(system, name) for name in ("bridge", *(f"streams-{role}" for role in ROLES))]
        return shown[0]["gateway_oldest_unacknowledged_seconds"] == {(): 0} and all(
            list(one["gateway_oldest_unfinished_seconds"].values()) == [0] for one in shown[1:]
        )

    assert await wait_until(nothing_waits, WAIT)


async def test_consumer_lag_is_shown_by_role_and_partition(system: System) -> None:
    async with httpx.AsyncClient(base_url=system.api, trust_env=False, timeout=30) as api:
        body = {"name": "Lag", "location": {"lat": 37.0, "lon": -122.0}, "registrationId": "ven-lag"}
        (await api.post("/api/vens", json=body)).raise_for_status()
        (await api.post("/api/vens/ven-lag/commands", json={"op": "ping", "data": {}})).raise_for_status()

    async def all_caught_up() -> bool:
        # Labels in the order of their names: partition, role, topic.
        lag = (await shown_by(system, "api")).get("gateway_consumer_lag_records", {})
        asked = {(role, topic): number for (_, role, topic), number in lag.items()}
        return (
            {role for role, _ in asked} == {*ROLES, "downlink"}
            and ("downlink", "ven.commands") in asked
            and ("sink", "ven.telemetry") in asked
            and max(lag.values()) < 100
        )

    assert await wait_until(all_caught_up, WAIT, every=0.5)


async def test_a_stopped_role_still_shows_its_lag(system: System) -> None:
    worker = system.workers["streams-live"]
    await worker.stop()
    try:
        sample = json.dumps({"venId": "ven-unheard", "timestamp": time.time(), "usedPowerKw": 3}).encode()
        await publish(system.stack.mqtt_host, system.stack.mqtt_port, [("volttron/metering", sample)])

        async def behind() -> bool:
            shown = await shown_by(system, "api")
            lag = shown.get("gateway_consumer_lag_records", {})
            waits = sum(
                number for (_, role, topic), number in lag.items() if (role, topic) == ("live", "ven.telemetry")
            )
            return waits > 0 and shown["gateway_live_totals_age_seconds"][()] > 1

        assert await wait_until(behind, WAIT, every=0.5)
    finally:
        await worker.start()
    assert await wait_until(worker.ready, WAIT)


async def test_metrics_are_documented_and_alert_counters_start_at_zero(system: System) -> None:
    by_process = {name: await shown_by(system, name) for name in system.workers}
    known = series()
    for name, shown in by_process.items():
        assert {one for one in shown if one.startswith("gateway_")} <= known.keys(), name
    sink = by_process["streams-sink"]
    assert ("restore", "expired") in sink["gateway_command_steps_total"]
    assert ("unstorable", "ven.telemetry") in sink["gateway_dead_letters_total"]
    assert "gateway_commands_delivery_unknown_total" in by_process["bridge"]
