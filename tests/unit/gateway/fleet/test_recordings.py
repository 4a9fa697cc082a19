"""What real devices said, read a second way: plainly, by the contract's table of spellings."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.mqtt.routing import Kind, ven_id_in_topic
from schemas.parsing.acks import Ack, Curtailment
from schemas.parsing.shadow import Shadow
from schemas.records.telemetry import Load, LoadSnapshot, Reading
from tests.support.paths import RECORDINGS
from tests.unit.near_misses import ROUTES, recorded
from tests.unit.samples import RECEIVED, outcome_of, parsed, record_of


def messages(name: str) -> Iterator[tuple[str, str]]:
    with (RECORDINGS / name).open() as lines:
        for line in lines:
            message = json.loads(line)
            yield message["topic"], message["payload"]


def metering(name: str) -> list[tuple[str, str]]:
    return [(topic, payload) for topic, payload in messages(name) if ROUTES.kind_of(topic) is Kind.METERING]


def either(document: dict[str, Any], modern: str, legacy: str) -> Any:
    return document[modern] if document.get(modern) is not None else document.get(legacy)


def expected(document: dict[str, Any]) -> Reading:
    loads = document.get("loads")
    return Reading(
        ven_id=document["venId"],
        timestamp=datetime.fromtimestamp(either(document, "timestamp", "ts"), UTC),
        received_at=RECEIVED,
        used_power_kw=either(document, "usedPowerKw", "power_kw"),
        shed_power_kw=either(document, "shedPowerKw", "shed_kw"),
        requested_reduction_kw=document.get("requestedReductionKw"),
        event_id=either(document, "eventId", "active_event"),
        baseline_power_kw=either(document, "baselinePowerKw", "base_power_kw"),
        panel_amperage_rating=document.get("panelAmperageRating"),
        panel_voltage=document.get("panelVoltage"),
        panel_max_kw=document.get("panelMaxKw"),
        current_amps=document.get("currentAmps"),
        panel_utilization_percent=document.get("panelUtilizationPercent"),
        message_num=document["message_num"],
        loads=None if loads is None else tuple(expected_load(load) for load in loads),
    )


def expected_load(load: dict[str, Any]) -> Load:
    return Load(
        id=load["id"],
        name=load["name"],
        type=load["type"],
        capacity_kw=load["capacityKw"],
        current_power_kw=load["currentPowerKw"],
        shed_capability_kw=load["shedCapabilityKw"],
        enabled=load["enabled"],
        priority=load["priority"],
    )


@pytest.mark.parametrize(("name", "count"), [("ven_enhanced.jsonl", 94), ("ven_local.jsonl", 37)])
def test_recorded_samples_parse_as_expected(name: str, count: int) -> None:
    samples = metering(name)
    assert len(samples) == count
    for _, payload in samples:
        record, rejected = parsed(payload.encode())
        assert not rejected
        assert record == expected(json.loads(payload))


def test_sample_on_both_topics_is_one_reading() -> None:
    by_topic: dict[str, list[Any]] = {}
    for topic, payload in metering("ven_enhanced.jsonl"):
        by_topic.setdefault(topic, []).append(parsed(payload.encode()).record)
    one, other = by_topic["volttron/metering"], by_topic["ven/telemetry/ven-real-enhanced"]
    assert one == other
    assert len({record.timestamp for record in one}) == len(one) == 47


def test_recorded_topics_have_the_contract_kinds() -> None:
    kinds = Counter(ROUTES.kind_of(topic) for topic, _ in messages("ven_enhanced.jsonl"))
    # Commands go down to the devices, and the shadow's other topics are not subscribed to.
    assert kinds == {Kind.METERING: 94, Kind.ACKS: 15, Kind.SHADOW: 21, Kind.LOADS: 7, Kind.OTHER: 27}


def test_topic_and_payload_name_the_same_ven() -> None:
    for topic, payload in metering("ven_enhanced.jsonl") + metering("ven_local.jsonl"):
        assert ven_id_in_topic(Kind.METERING, topic) in (json.loads(payload)["venId"], None)
    for topic, _ in messages("ven_enhanced.jsonl"):
        if (kind := ROUTES.kind_of(topic)) in (Kind.ACKS, Kind.SHADOW):
            assert ven_id_in_topic(kind, topic) == "ven-real-enhanced"


def stamped(seconds: int) -> dict[str, Any]:
    """What every record has."""
    return {"timestamp": datetime.fromtimestamp(seconds, UTC), "received_at": RECEIVED}


def expected_ack(topic: str, document: dict[str, Any]) -> Ack:
    """The recorded agents are of the older generation, which tells everything of its circuits."""
    return Ack(
        **stamped(document["ts"]),
        ven_id=topic.rsplit("/", 1)[1],
        op=document["op"],
        status=document["status"],
        correlation_id=document["correlationId"] or "",
        event_id=document.get("event_id"),
        requested_shed_kw=document.get("requested_shed_kw"),
        actual_shed_kw=document.get("actual_shed_kw"),
        circuits=tuple(Curtailment(**circuit) for circuit in document.get("circuits_curtailed", ())),
        extra={"pong": True} if document["op"] == "ping" else None,
    )


def expected_of(kind: Kind, topic: str, document: dict[str, Any]) -> Any:
    if kind is Kind.ACKS:
        return expected_ack(topic, document)
    if kind is Kind.LOADS:
        loads = tuple(expected_load(load) for load in document["loads"])
        return LoadSnapshot(**stamped(document["timestamp"]), ven_id=document["venId"], loads=loads)
    return Shadow(**stamped(document["state"]["reported"]["timestamp"]), ven_id=topic.split("/")[2], document=document)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("ven_enhanced.jsonl", {Kind.ACKS: 15, Kind.SHADOW: 21, Kind.LOADS: 7}), ("ven_local.jsonl", {Kind.ACKS: 3})],
)
def test_other_recorded_messages_parse_as_expected(name: str, counts: dict[Kind, int]) -> None:
    others = [message for message in recorded(name) if message[0] is not Kind.METERING]
    assert Counter(kind for kind, _, _ in others) == counts
    for kind, topic, document in others:
        assert record_of(kind, topic, document) == expected_of(kind, topic, document)


def test_recorded_circuits_add_up_within_rounding() -> None:
    circuits = [c for kind, topic, it in recorded("ven_enhanced.jsonl") if kind is Kind.ACKS for c in acked(topic, it)]
    assert len(circuits) == 14
    for circuit in circuits:
        assert circuit.original_kw == pytest.approx((circuit.final_kw or 0) + circuit.curtailed_kw, abs=0.006)


def acked(topic: str, document: dict[str, Any]) -> tuple[Curtailment, ...]:
    record = record_of(Kind.ACKS, topic, document)
    assert isinstance(record, Ack)
    return record.circuits


def test_other_recorded_shadow_messages_store_nothing() -> None:
    others = [message for message in messages("ven_enhanced.jsonl") if message[0].startswith("$aws")]
    others = [(topic, payload) for topic, payload in others if ROUTES.kind_of(topic) is Kind.OTHER]
    assert [topic.split("/shadow/")[1] for topic, _ in others] == ["get", "update/delta"]
    for topic, payload in others:
        assert outcome_of(Kind.SHADOW, topic, payload.encode()) is None
