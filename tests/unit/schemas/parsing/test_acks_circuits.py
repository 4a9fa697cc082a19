"""The circuits of an ack: powers that add up, and bad entries that are left out alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack, Curtailment
from schemas.parsing.loads import MAX_REJECTED, MAX_TEXT
from schemas.parsing.result import Parsed
from schemas.records.telemetry import MAX_MAGNITUDE
from tests.unit.samples import RECEIVED, outcome_of, record_of

TOPIC = "ven/ack/ven-1"
POWER = st.floats(-1e6, 1e6)


def parsed(entries: list[Any], name: str = "circuits_curtailed") -> tuple[tuple[Curtailment, ...], list[str]]:
    """Return the parsed circuits and the details of the rejections."""
    outcome = outcome_of(Kind.ACKS, TOPIC, {"op": "event", "status": "accepted", name: entries})
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, Ack)
    assert {rejection.reason for rejection in outcome.rejected_loads} <= {Reason.BAD_LOAD}
    return outcome.record.circuits, [rejection.detail for rejection in outcome.rejected_loads]


def circuit(**fields: Any) -> Curtailment:
    (found,), rejected = parsed([{"id": "ev1"} | fields])
    assert not rejected
    return found


def powers(**fields: Any) -> tuple[float | None, float, float | None]:
    found = circuit(**fields)
    return found.original_kw, found.curtailed_kw, found.final_kw


def test_contract_ack_of_first_generation_is_parsed() -> None:
    entry = {"id": "ev1", "name": "EV Charger", "breaker_amps": 50, "original_kw": 8.5, "curtailed_kw": 8.5}
    document: dict[str, Any] = {
        "op": "event",
        "status": "accepted",
        "event_id": "evt-123",
        "correlationId": "evt-evt-123-ab12cd34",
    }
    document |= {"requested_shed_kw": 5.0, "actual_shed_kw": 4.8, "ts": 1698765432}
    record = record_of(
        Kind.ACKS, TOPIC, document | {"circuits_curtailed": [entry | {"final_kw": 0.0, "critical": False}]}
    )
    assert record == Ack(
        ven_id="ven-1",
        timestamp=record.timestamp,
        received_at=RECEIVED,
        op="event",
        status="accepted",
        correlation_id="evt-evt-123-ab12cd34",
        event_id="evt-123",
        requested_shed_kw=5.0,
        actual_shed_kw=4.8,
        circuits=(Curtailment("ev1", "EV Charger", 50, 8.5, 8.5, 0.0, critical=False),),
    )
    assert record.timestamp.isoformat() == "2023-10-31T15:17:12+00:00"


def test_entry_with_only_a_shed_leaves_other_powers_open() -> None:
    assert parsed([{"loadId": "ev1", "name": "EV", "shedKw": 2}]) == (
        (Curtailment("ev1", "EV", None, None, 2.0, None, critical=False),),
        [],
    )


def test_list_and_entries_have_two_spellings_first_wins() -> None:
    entries = [{"id": "a", "loadId": 7, "curtailed_kw": 1, "shedKw": "x"}, {"loadId": "b", "id": None, "shedKw": 1}]
    assert parsed(entries) == parsed(entries, "circuitsCurtailed")
    assert [(found.id, found.curtailed_kw) for found in parsed(entries)[0]] == [("a", 1.0), ("b", 1.0)]


def test_missing_name_is_the_id() -> None:
    assert circuit().name == circuit(name=None).name == circuit(name="").name == "ev1"


def test_circuit_is_critical_only_if_true() -> None:
    assert circuit(critical=True).critical
    assert not circuit(critical=None).critical


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({}, (None, 0.0, None)),
        ({"shedKw": 2}, (None, 2.0, None)),
        ({"original_kw": 5}, (5.0, 0.0, 5.0)),
        ({"final_kw": 5}, (5.0, 0.0, 5.0)),
        ({"original_kw": 5, "curtailed_kw": 2}, (5.0, 2.0, 3.0)),
        ({"original_kw": 5, "final_kw": 2}, (5.0, 3.0, 2.0)),
        ({"shedKw": 2, "final_kw": 3}, (5.0, 2.0, 3.0)),
        ({"original_kw": 2, "shedKw": 5}, (2.0, 5.0, 0.0)),
        ({"original_kw": 5, "curtailed_kw": 6, "final_kw": -1}, (5.0, 6.0, 0.0)),
        ({"original_kw": 5, "final_kw": -1}, (5.0, 5.0, 0.0)),
        ({"curtailed_kw": 6, "final_kw": -1}, (6.0, 6.0, 0.0)),
        ({"original_kw": 7.33, "curtailed_kw": 5.864000000000001, "final_kw": 1.47}, (7.33, 5.864000000000001, 1.47)),
    ],
)
def test_third_power_is_derived_from_two(
    reported: dict[str, Any], expected: tuple[float | None, float, float | None]
) -> None:
    assert powers(**reported) == expected


@given(st.fixed_dictionaries({}, optional={"original_kw": POWER, "curtailed_kw": POWER, "final_kw": POWER}))
def test_complete_powers_add_up(reported: dict[str, float]) -> None:
    original, curtailed, final = powers(**reported)
    assert (original is None) == (final is None) == (not {"original_kw", "final_kw"} & reported.keys())
    if original is not None and final is not None:
        assert final >= 0
        if len(reported) < 3:
            assert final == pytest.approx(max(0.0, original - curtailed), abs=1e-6)
    for name, power in (("original_kw", original), ("curtailed_kw", curtailed)):
        assert power == reported.get(name, power)
    assert final == (max(0.0, reported["final_kw"]) if "final_kw" in reported else final)


BAD: list[Any] = [
    *(None, 5, "ev1", [], {}, {"id": ""}, {"id": None}, {"id": 5}, {"name": "no id"}, {"id": "b\0"}),
    *({"id": "b", "name": "a\0"}, {"id": "b" * (MAX_TEXT + 1)}, {"id": "b", "name": "n" * (MAX_TEXT + 1)}),
    *({"id": "b", name: "1"} for name in ("original_kw", "curtailed_kw", "shedKw", "final_kw", "breaker_amps")),
    *({"id": "b", "critical": 1}, {"id": "b", "curtailed_kw": 1.1e9}, {"id": "a"}, {"loadId": "a", "shedKw": 1}),
    {"id": "b", "final_kw": MAX_MAGNITUDE, "curtailed_kw": MAX_MAGNITUDE},
]


@pytest.mark.parametrize("entry", BAD)
def test_bad_entry_is_left_out_alone(entry: Any) -> None:
    circuits, rejected = parsed([{"id": "a"}, entry, {"id": "c"}])
    assert [found.id for found in circuits] == ["a", "c"]
    assert len(rejected) == 1
    assert "circuit 1" in rejected[0]


def test_rejections_of_one_list_are_bounded() -> None:
    circuits, rejected = parsed([1] * 1000)
    assert circuits == ()
    assert len(rejected) == MAX_REJECTED + 1
    assert "980 more" in rejected[-1]
