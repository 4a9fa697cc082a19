"""One trace for a message from MQTT to its row, and one for a DR event from the request to the answers of its VENs."""

import json
import time
from datetime import UTC, datetime, timedelta

import aiomqtt
import httpx

from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.tracing import parse_traceparent
from tests.support.collector import Collector
from tests.support.kafka_records import read_all
from tests.support.publishing import publish

WAIT = 60
VEN = "ven-traced"
METERING = "volttron/metering"


async def test_a_message_is_one_trace_from_mqtt_to_its_row(
    system: System, collector: Collector, stored: Connection
) -> None:
    before = time.time_ns()
    sample = {"venId": "ven-traced-sample", "timestamp": time.time(), "usedPowerKw": 1.5}
    await publish(system.stack.mqtt_host, system.stack.mqtt_port, [(METERING, json.dumps(sample).encode())])
    received = await collector.first("bridge receive", gateway_ven_id="ven-traced-sample")
    row = await collector.next_of(received, "sink ven.telemetry")
    # It has ended, so the row is there.
    assert await stored.fetchval("SELECT count(*) FROM telemetry_readings WHERE ven_id = 'ven-traced-sample'") == 1
    validated = await collector.next_of(received, "validate ven.raw.metering")
    live = await collector.next_of(received, "live ven.telemetry")
    assert [span.service for span in (received, validated, row, live)] == [
        "gateway-bridge",
        "gateway-validate",
        "gateway-sink",
        "gateway-live",
    ]
    assert await collector.path_to(row) == ["bridge receive", "validate ven.raw.metering", "sink ven.telemetry"]
    assert await collector.path_to(live) == ["bridge receive", "validate ven.raw.metering", "live ven.telemetry"]
    assert before < received.started_ns <= validated.started_ns <= row.started_ns <= row.ended_ns < time.time_ns()
    assert not any(span.failed for span in collector.trace_of(received).values())


async def test_a_dead_letter_is_traced_to_its_row(system: System, collector: Collector) -> None:
    payload = b'{"venId": "ven-traced-bad"}'
    await publish(system.stack.mqtt_host, system.stack.mqtt_port, [(METERING, payload)])
    received = await collector.first("bridge receive", gateway_ven_id="ven-traced-bad")
    indexed = await collector.next_of(received, "sink ven.raw.metering.dlq")
    assert await collector.path_to(indexed) == [
        "bridge receive",
        "validate ven.raw.metering",
        "sink ven.raw.metering.dlq",
    ]


async def test_a_dr_event_is_one_trace_from_request_to_acks(system: System, collector: Collector) -> None:
    sample = {"venId": VEN, "timestamp": time.time(), "usedPowerKw": 5, "shedPowerKw": 0}
    async with (
        httpx.AsyncClient(base_url=system.api, timeout=20, trust_env=False) as api,
        aiomqtt.Client(system.stack.mqtt_host, system.stack.mqtt_port) as ven,
    ):
        await ven.subscribe(f"ven/cmd/{VEN}", qos=1)
        await ven.publish(METERING, json.dumps(sample), qos=1)

        async def online() -> bool:
            answer = await api.get(f"/api/vens/{VEN}")
            return answer.is_success and answer.json()["status"] == "online"

        assert await wait_until(online, WAIT)
        now = datetime.now(UTC)
        body = {
            "startTime": now.isoformat(),
            "endTime": (now + timedelta(minutes=1)).isoformat(),
            "requestedReductionKw": 2,
            "status": "active",
            "venIds": [VEN],
        }
        event_id = (await api.post("/api/events", json=body)).raise_for_status().json()["id"]
        told = json.loads((await anext(aiter(ven.messages))).payload)
        ack = {"op": "event", "status": "accepted", "correlationId": told["correlationId"], "ts": time.time()}
        await ven.publish(f"ven/ack/{VEN}", json.dumps(ack), qos=1)
        asked = await collector.first("api create event", gateway_event_id=event_id)
        answered = await collector.next_of(asked, "sink acknowledged")
        sent = await collector.next_of(asked, "bridge send command")
        way = ["api create event", "sink start event", "sink log command"]
        assert await collector.path_to(answered) == [*way, "sink acknowledged"]
        assert await collector.path_to(sent) == [*way, "bridge send command"]
        assert sent.attributes["gateway.correlation.id"] == told["correlationId"]
        assert not any(span.failed for span in collector.trace_of(asked).values())
        (await api.post(f"/api/events/{event_id}/stop")).raise_for_status()
        restored = await collector.first("bridge send command", gateway_op="restore", gateway_ven_id=VEN)
        way = ["api create event", "sink end event", "sink log command"]
        assert restored.trace == asked.trace
        assert await collector.path_to(restored) == [*way, "bridge send command"]
    # Whoever else reads the commands finds the trace there.
    name = told["correlationId"].encode()
    (record,) = [one for one in await read_all(system.kafka, "ven.commands") if name in one.value]
    logged = parse_traceparent(dict(record.headers)["traceparent"])
    assert logged is not None
    assert (sent.trace, sent.parent) == (f"{logged.trace_id:032x}", f"{logged.span_id:016x}")


async def test_an_operators_command_has_its_own_trace(system: System, collector: Collector) -> None:
    async with httpx.AsyncClient(base_url=system.api, timeout=20, trust_env=False) as api:
        body = {"name": "Quiet", "location": {"lat": 37.0, "lon": -122.0}, "registrationId": "ven-traced-quiet"}
        (await api.post("/api/vens", json=body)).raise_for_status()
        answer = await api.post("/api/vens/ven-traced-quiet/commands", json={"op": "ping", "data": {}})
        correlation_id = answer.raise_for_status().json()["correlationId"]
    sent = await collector.first("bridge send command", gateway_correlation_id=correlation_id)
    assert await collector.path_to(sent) == ["api send command", "sink log command", "bridge send command"]
