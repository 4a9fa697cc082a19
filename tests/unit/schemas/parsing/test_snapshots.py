"""Load snapshots have the same lists of loads as metering samples."""

from typing import Any

import pytest

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.result import Parsed
from schemas.records.telemetry import Load, LoadSnapshot
from tests.unit.samples import MEASURED, RECEIVED, STAMP, outcome_of, reason_of, record_of

TOPIC = "ven/loads/ven-1"
FULL = {"name": "HVAC", "type": "hvac", "capacityKw": 7.2, "currentPowerKw": 2.1, "shedCapabilityKw": 1.9}
FULL |= {"enabled": False, "priority": 5}
HVAC = Load("hvac1", "HVAC", "hvac", 7.2, 2.1, 1.9, enabled=False, priority=5)


def document(**changes: Any) -> dict[str, Any]:
    fields = {"schemaVersion": "1.0", "venId": "ven-1", "timestamp": STAMP, "loads": [{"id": "hvac1"} | FULL]}
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def snapshot(*loads: Load) -> LoadSnapshot:
    return LoadSnapshot(ven_id="ven-1", timestamp=MEASURED, received_at=RECEIVED, loads=loads)


def test_contract_snapshot_is_parsed() -> None:
    assert record_of(Kind.LOADS, TOPIC, document()) == snapshot(HVAC)


@pytest.mark.parametrize(
    "changes",
    [
        {"venId": ..., "ven_id": "ven-1"},
        {"venId": "ven-1", "ven_id": 5},
        {"timestamp": ..., "ts": STAMP * 1000},
        {"timestamp": STAMP, "ts": "wrong"},
        {"loads": [{"loadId": "hvac1"} | FULL]},
        {"loads": [{"id": "hvac1", "loadId": "other"} | FULL]},
        {"circuits": "not these"},
        {"firmware": {"unknown": 1}},
    ],
)
def test_every_spelling_is_the_same_snapshot(changes: dict[str, Any]) -> None:
    assert record_of(Kind.LOADS, TOPIC, document(**changes)) == snapshot(HVAC)


def test_topic_names_the_ven() -> None:
    assert record_of(Kind.LOADS, TOPIC, document(venId=...)) == snapshot(HVAC)
    assert reason_of(Kind.LOADS, "site/loads/7", document(venId=...)) is Reason.MISSING_ID


@pytest.mark.parametrize(
    ("voltage", "capacity"), [({}, 7.2), ({"panelVoltage": 120}, 3.6), ({"panel_voltage": 120}, 3.6)]
)
def test_capacity_uses_the_voltage_of_the_panel(voltage: dict[str, Any], capacity: float) -> None:
    loads = [{"id": "a", "current_kw": 2.5, "breaker_amps": 30}]
    assert record_of(Kind.LOADS, TOPIC, document(loads=loads, **voltage)) == snapshot(
        Load("a", None, None, capacity, 2.5, 2.5)
    )


def test_circuits_count_without_loads() -> None:
    circuits = [{"id": "c1", "breaker_amps": 30, "current_kw": 2.1}]
    found = record_of(Kind.LOADS, TOPIC, document(loads=None, circuits=circuits))
    assert found == snapshot(Load("c1", None, None, 7.2, 2.1, 2.1))


def test_empty_list_is_a_snapshot() -> None:
    assert record_of(Kind.LOADS, TOPIC, document(loads=[])) == snapshot()


def test_bad_entry_is_left_out_alone() -> None:
    outcome = outcome_of(Kind.LOADS, TOPIC, document(loads=[None, {"id": "a"}, {"id": "a"}, {"id": "b"}]))
    assert isinstance(outcome, Parsed)
    assert outcome.record == snapshot(Load("a"), Load("b"))
    assert [rejection.reason for rejection in outcome.rejected_loads] == [Reason.BAD_LOAD] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"venId": "a/b"}, Reason.BAD_ID),
        ({"venId": "ven-2"}, Reason.ID_MISMATCH),
        ({"timestamp": None}, Reason.MISSING_TIME),
        ({"timestamp": "soon"}, Reason.BAD_TIME),
        ({"loads": ...}, Reason.MISSING_VALUE),
        ({"loads": None, "circuits": None}, Reason.MISSING_VALUE),
        ({"loads": {}}, Reason.BAD_VALUE),
        ({"loads": "none"}, Reason.BAD_VALUE),
        ({"loads": None, "circuits": 5}, Reason.BAD_VALUE),
    ],
)
def test_bad_snapshot_is_rejected_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(Kind.LOADS, TOPIC, document(**changes)) is reason


def test_other_topics_leave_the_id_to_the_payload() -> None:
    assert record_of(Kind.LOADS, "site/loads/7", document()) == snapshot(HVAC)
