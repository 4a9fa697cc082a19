"""What real devices said, read a second way: plainly, by the contract's table of spellings."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.mqtt import Kind, ven_id_in_topic
from schemas.mqtt_settings import MqttTopicSettings
from schemas.readings import Load, Reading
from tests.unit.samples import RECEIVED, parsed

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
ROUTES = MqttTopicSettings.load(mqtt_topics="ven/telemetry/+", backend_loads_topic="ven/loads/+").routes


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
def test_every_recorded_sample_means_what_a_plain_reading_of_it_says(name: str, count: int) -> None:
    samples = metering(name)
    assert len(samples) == count
    for _, payload in samples:
        record, rejected = parsed(payload.encode())
        assert not rejected
        assert record == expected(json.loads(payload))


def test_a_sample_published_on_both_topics_is_one_reading() -> None:
    by_topic: dict[str, list[Any]] = {}
    for topic, payload in metering("ven_enhanced.jsonl"):
        by_topic.setdefault(topic, []).append(parsed(payload.encode()).record)
    one, other = by_topic["volttron/metering"], by_topic["ven/telemetry/ven-real-enhanced"]
    assert one == other
    assert len({record.timestamp for record in one}) == len(one) == 47


def test_recorded_topics_are_of_the_kinds_of_the_contract() -> None:
    kinds = Counter(ROUTES.kind_of(topic) for topic, _ in messages("ven_enhanced.jsonl"))
    # Commands go down to the devices, and the shadow's other topics are not subscribed to.
    assert kinds == {Kind.METERING: 94, Kind.ACKS: 15, Kind.SHADOW: 21, Kind.LOADS: 7, Kind.OTHER: 27}


def test_the_ven_of_a_recorded_topic_is_the_one_in_the_payload() -> None:
    for topic, payload in metering("ven_enhanced.jsonl") + metering("ven_local.jsonl"):
        assert ven_id_in_topic(Kind.METERING, topic) in (json.loads(payload)["venId"], None)
    for topic, _ in messages("ven_enhanced.jsonl"):
        if (kind := ROUTES.kind_of(topic)) in (Kind.ACKS, Kind.SHADOW):
            assert ven_id_in_topic(kind, topic) == "ven-real-enhanced"
