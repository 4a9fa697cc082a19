"""What an acknowledgement says of single circuits: figures that add up, and bad entries that cost only themselves."""

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
    """The circuits that count, and the details of those that do not."""
    outcome = outcome_of(Kind.ACKS, TOPIC, {"op": "event", "status": "accepted", name: entries})
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, Ack)
    assert {rejection.reason for rejection in outcome.rejected_loads} <= {Reason.BAD_LOAD}
    return outcome.record.circuits, [rejection.detail for rejection in outcome.rejected_loads]


def circuit(**fields: Any) -> Curtailment:
    (found,), rejected = parsed([{"id": "ev1"} | fields])
    assert not rejected
    return found


def figures(**fields: Any) -> tuple[float | None, float, float | None]:
    found = circuit(**fields)
    return found.original_kw, found.curtailed_kw, found.final_kw


def test_the_first_ack_of_the_contract_becomes_its_record() -> None:
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


def test_an_entry_that_tells_only_its_shed_leaves_the_rest_to_what_was_metered() -> None:
    assert parsed([{"loadId": "ev1", "name": "EV", "shedKw": 2}]) == (
        (Curtailment("ev1", "EV", None, None, 2.0, None, critical=False),),
        [],
    )


def test_both_spellings_of_the_list_and_of_its_entries_are_taken_and_the_first_wins() -> None:
    entries = [{"id": "a", "loadId": 7, "curtailed_kw": 1, "shedKw": "x"}, {"loadId": "b", "id": None, "shedKw": 1}]
    assert parsed(entries) == parsed(entries, "circuitsCurtailed")
    assert [(found.id, found.curtailed_kw) for found in parsed(entries)[0]] == [("a", 1.0), ("b", 1.0)]


def test_a_name_is_the_id_when_absent() -> None:
    assert circuit().name == circuit(name=None).name == circuit(name="").name == "ev1"


def test_a_circuit_is_critical_when_it_says_so() -> None:
    assert circuit(critical=True).critical
    assert not circuit(critical=None).critical


@pytest.mark.parametrize(
    ("told", "expected"),
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
def test_two_figures_tell_the_third_and_three_are_taken_as_told(
    told: dict[str, Any], expected: tuple[float | None, float, float | None]
) -> None:
    assert figures(**told) == expected


@given(st.fixed_dictionaries({}, optional={"original_kw": POWER, "curtailed_kw": POWER, "final_kw": POWER}))
def test_figures_add_up_where_they_are_complete(told: dict[str, float]) -> None:
    original, curtailed, final = figures(**told)
    assert (original is None) == (final is None) == (not {"original_kw", "final_kw"} & told.keys())
    if original is not None and final is not None:
        assert final >= 0
        if len(told) < 3:
            assert final == pytest.approx(max(0.0, original - curtailed), abs=1e-6)
    for name, figure in (("original_kw", original), ("curtailed_kw", curtailed)):
        assert figure == told.get(name, figure)
    assert final == (max(0.0, told["final_kw"]) if "final_kw" in told else final)


BAD: list[Any] = [
    *(None, 5, "ev1", [], {}, {"id": ""}, {"id": None}, {"id": 5}, {"name": "no id"}, {"id": "b\0"}),
    *({"id": "b", "name": "a\0"}, {"id": "b" * (MAX_TEXT + 1)}, {"id": "b", "name": "n" * (MAX_TEXT + 1)}),
    *({"id": "b", name: "1"} for name in ("original_kw", "curtailed_kw", "shedKw", "final_kw", "breaker_amps")),
    *({"id": "b", "critical": 1}, {"id": "b", "curtailed_kw": 1.1e9}, {"id": "a"}, {"loadId": "a", "shedKw": 1}),
    {"id": "b", "final_kw": MAX_MAGNITUDE, "curtailed_kw": MAX_MAGNITUDE},
]


@pytest.mark.parametrize("entry", BAD)
def test_a_bad_entry_costs_only_itself(entry: Any) -> None:
    circuits, rejected = parsed([{"id": "a"}, entry, {"id": "c"}])
    assert [found.id for found in circuits] == ["a", "c"]
    assert len(rejected) == 1
    assert "circuit 1" in rejected[0]


def test_a_list_of_nothing_but_bad_entries_gives_a_bounded_number_of_rejections() -> None:
    circuits, rejected = parsed([1] * 1000)
    assert circuits == ()
    assert len(rejected) == MAX_REJECTED + 1
    assert "980 more" in rejected[-1]
