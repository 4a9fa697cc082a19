"""Every kind of message, in every spelling, from MQTT through the whole system to rows and REST."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiomqtt
import httpx
import pytest

from bridge.main import BridgeConfig, run_bridge
from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.settings.blocks import BridgeSettings
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from tests.support.publishing import publish

WAIT = 60
NOW = int(time.time())
HVAC = {"id": "hvac", "name": "HVAC", "type": "hvac", "capacityKw": 7.2, "currentPowerKw": 2.0}
HVAC |= {"shedCapabilityKw": 1.5, "enabled": True, "priority": 5}


class Home:
    """One VEN and all that is known of it."""

    def __init__(self, system: System, stored: Connection, ven_id: str) -> None:
        self.id = ven_id
        self._system = system
        self._stored = stored

    async def say(self, *messages: tuple[str, Any]) -> None:
        raw = [(topic, json.dumps(document).encode()) for topic, document in messages]
        await publish(self._system.stack.mqtt_host, self._system.stack.mqtt_port, raw)

    async def measure(self, at: float, power: float, topic: str = "volttron/metering", **fields: Any) -> None:
        await self.say((topic, {"venId": self.id, "timestamp": at, "usedPowerKw": power, **fields}))

    async def rows(self, select: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._stored.fetch(select, self.id)]

    async def become(self, select: str, expected: Sequence[Any]) -> None:
        """Wait until a query of one column gives this; says what it gave otherwise."""

        async def reached() -> bool:
            return [row[0] for row in await self._stored.fetch(select, self.id)] == list(expected)

        assert await wait_until(reached, WAIT), await self.rows(select)

    async def shown(self) -> Any:
        async with httpx.AsyncClient(base_url=self._system.api, trust_env=False, timeout=30) as client:
            answer = await client.get(f"/api/vens/{self.id}")
        return answer.json() if answer.is_success else None

    async def shows(self, **expected: Any) -> None:
        async def reached() -> bool:
            found = await self.shown()
            return found is not None and {name: found[name] for name in expected} == expected

        assert await wait_until(reached, WAIT, every=0.1), await self.shown()


@pytest.fixture
def home(system: System, stored: Connection, request: pytest.FixtureRequest) -> Home:
    return Home(system, stored, request.node.name.removeprefix("test_")[:100])


MEASURED = "SELECT used_power_kw FROM telemetry_readings WHERE ven_id = $1 ORDER BY time"
SNAPSHOTS = "SELECT load_id FROM load_snapshots WHERE ven_id = $1 ORDER BY time, load_id"
ACKS = "SELECT op FROM ven_acks WHERE ven_id = $1 ORDER BY time, op"
VTN_MESSAGES = "SELECT kind FROM notices WHERE ven_id = $1 ORDER BY kind"


async def test_load_snapshots_are_stored_and_shown(home: Home) -> None:
    await home.say(
        (f"ven/loads/{home.id}", {"venId": home.id, "timestamp": NOW - 60, "loads": [HVAC, {"loadId": "ev"}]}),
        (f"ven/loads/{home.id}", {"ven_id": home.id, "ts": NOW - 30, "circuits": [{"id": "kiln", "currentKw": 9}]}),
    )
    await home.become(SNAPSHOTS, ["ev", "hvac", "kiln"])
    await home.shows(name=f"Auto-registered VEN {home.id}", status="offline", measuredAt=None)
    shown = await home.shown()
    assert [(load["id"], load["currentPowerKw"]) for load in shown["loads"]] == [("kiln", 9.0)]
    assert shown["lastSeen"] is not None


async def test_readings_and_last_wills_set_the_presence(home: Home) -> None:
    await home.measure(NOW, 1.0)
    await home.say(("volttron/dev", {"ven": "ready", "venId": home.id, "ts": NOW}))
    await home.shows(status="online", reportedStatus="ready")
    # What a will says was written when the device connected, by a clock of its own.
    await home.say(("volttron/dev", {"ven": "offline", "venId": home.id, "ts": NOW - 90_000}))
    await home.shows(status="offline", reportedStatus="offline")
    await home.measure(NOW + 1, 2.0)
    await home.shows(status="online", reportedStatus="offline")
    # Of a status that names nobody there is only a record.
    await home.say(("volttron/dev", {"ven": "ready", "of": home.id}))
    await home.become("SELECT kind FROM notices WHERE ven_id IS NULL AND document->>'of' = $1", ["status"])


async def test_acks_of_both_generations_are_stored_and_shown(home: Home) -> None:
    await home.measure(NOW - 10, 5.0, loads=[HVAC])
    await home.become(MEASURED, [5.0])
    circuit = {"id": "ev1", "original_kw": 8.5, "curtailed_kw": 8.5, "final_kw": 0.0}
    event = {"op": "event", "status": "accepted", "event_id": "evt-1", "correlationId": "c-1", "ts": NOW - 3}
    new = {"op": "shedLoad", "ok": False, "error": "busy", "venId": home.id, "ts": NOW - 2, "correlationId": "c-2"}
    shed = {**event, "ts": NOW - 1, "circuitsCurtailed": [{"loadId": "hvac", "shedKw": 0.5}], "actualShedKw": 0.5}
    ping = {"op": "ping", "status": "success", "ts": NOW, "correlationId": None}
    topic = f"ven/ack/{home.id}"
    messages = [{**event, "circuits_curtailed": [circuit]}, new, shed, ping]
    await home.say(*((topic, each) for each in [*messages, *messages]))
    await home.become(ACKS, ["event", "shedLoad", "event", "ping"])
    found = await home.rows("SELECT * FROM ven_acks WHERE ven_id = $1 ORDER BY time")
    assert [row["status"] for row in found] == ["accepted", "failed", "accepted", "success"]
    assert [row["correlation_id"] for row in found] == ["c-1", "c-2", "c-1", ""]
    (curtailed,) = json.loads(found[2]["circuits"])
    assert (curtailed["original_kw"], curtailed["curtailed_kw"], curtailed["final_kw"]) == (2.0, 0.5, 1.5)


async def test_the_last_shadow_document_is_shown(home: Home) -> None:
    topic = f"$aws/things/{home.id}/shadow"
    document = {"state": {"reported": {"power_kw": 1.5, "timestamp": NOW, "circuits": []}}}
    old = {"state": {"reported": {"power_kw": 9.0, "timestamp": NOW - 60}}}
    # The document that is received last counts, whatever its own time is.
    await home.say((f"{topic}/get", {}), (f"{topic}/update", document), (f"{topic}/update", old))
    await home.say(
        (f"{topic}/update/delta", {"state": {"power_kw": 3}}), (f"ven/ack/{home.id}", {"op": "a", "ok": True})
    )
    await home.become(ACKS, ["a"])
    await home.become("SELECT measured_at FROM ven_shadows WHERE ven_id = $1", [datetime.fromtimestamp(NOW - 60, UTC)])
    (found,) = await home.rows("SELECT document FROM ven_shadows WHERE ven_id = $1")
    assert json.loads(found["document"]) == old
    await home.shows(status="offline", loads=[])


async def test_vtn_messages_are_stored(home: Home) -> None:
    response = {"ven_id": home.id, "response": "ack"}
    event = {"ven_id": f"{home.id}-not-heard", "event_id": "evt-9", "about": home.id}
    await home.say(("openadr/event", event), ("openadr/response", response), ("openadr/response", response))
    await home.become(VTN_MESSAGES, ["responses"])
    await home.become("SELECT ven_id FROM notices WHERE document->>'about' = $1", [f"{home.id}-not-heard"])
    await home.become("SELECT ven_id FROM vens WHERE ven_id LIKE $1 || '%'", [home.id])


async def test_a_fault_report_is_shown_and_is_no_reading(home: Home) -> None:
    await home.say(("volttron/metering", {"venId": home.id, "timestamp": NOW, "error": "sensor lost"}))
    await home.become("SELECT error FROM ven_faults WHERE ven_id = $1", ["sensor lost"])
    await home.shows(status="offline", measuredAt=None)
    assert await home.rows(MEASURED) == []


async def test_a_sample_on_several_topics_counts_once(home: Home) -> None:
    # The second matches two filters of the bridge, too.
    for topic in ("volttron/metering", f"ven/telemetry/{home.id}", f"oadr/meter/{home.id}"):
        await home.measure(NOW, 3.0, topic, loads=[HVAC])
    await home.measure(NOW + 1, 4.0, f"oadr/meter/{home.id}")
    await home.become(MEASURED, [3.0, 4.0])
    await home.become("SELECT load_id FROM telemetry_loads WHERE ven_id = $1", ["hvac"])


async def test_late_and_unordered_samples_get_their_own_times(home: Home) -> None:
    for second, power in ((0, 1.0), (-5, 2.0), (-86_400, 3.0), (5, 4.0), (-10, 5.0)):
        await home.measure(NOW + second, power)
    await home.become(MEASURED, [3.0, 5.0, 2.0, 1.0, 4.0])
    shown = await home.shown()
    assert (shown["status"], shown["metrics"]["currentPowerKw"]) == ("online", 4.0)
    assert shown["measuredAt"] == datetime.fromtimestamp(NOW + 5, UTC).isoformat().replace("+00:00", "Z")


@asynccontextmanager
async def another_bridge(system: System, filters: MqttTopicSettings) -> AsyncIterator[None]:
    """A bridge that joins a running system and has never subscribed to anything before."""
    stack = system.stack
    mqtt = MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    config = BridgeConfig(mqtt, filters, system.kafka, BridgeSettings(bridge_health_port=0))
    stop = asyncio.Event()
    bridge = asyncio.create_task(run_bridge(config, stop))
    try:
        yield
    finally:
        stop.set()
        await bridge


async def test_a_retained_reading_does_not_make_a_ven_online(system: System, home: Home) -> None:
    topic, said_at = f"homes/{home.id}/metering", NOW - 3600
    async with aiomqtt.Client(system.stack.mqtt_host, system.stack.mqtt_port) as client:
        payload = json.dumps({"venId": home.id, "ts": said_at, "power_kw": 2.5})
        await client.publish(topic, payload, qos=1, retain=True)
        filters = MqttTopicSettings(mqtt_topic_metering="homes/+/metering", mqtt_topics="homes/#")
        async with another_bridge(system, filters):
            await home.become(MEASURED, [2.5])
            reported_at = datetime.fromtimestamp(said_at, UTC).isoformat().replace("+00:00", "Z")
            await home.shows(status="offline", measuredAt=reported_at, lastSeen=reported_at)
            # It says the same again, and this time it is there to say it.
            await client.publish(topic, payload, qos=1, retain=True)
            await home.shows(status="online", measuredAt=reported_at)
        await client.publish(topic, b"", qos=1, retain=True)
    assert len(await home.rows(MEASURED)) == 1
