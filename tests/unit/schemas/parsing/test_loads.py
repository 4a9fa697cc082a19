"""Loads in the spellings of `loads` and `circuits`; bad entries are left out alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.parsing.loads import MAX_REJECTED, MAX_TEXT
from schemas.records.telemetry import Load, Reading
from tests.unit.samples import parsed, reading, sample

POWER = st.floats(-1e6, 1e6)


def loads(entries: Any, **changes: Any) -> tuple[Load, ...]:
    found = reading(loads=entries, **changes).loads
    assert found is not None
    return found


def circuit(volts: float | None = None, **fields: Any) -> Load:
    (load,) = reading(circuits=[{"id": "c1"} | fields], panelVoltage=volts).loads or ()
    return load


def kept(**lists: Any) -> tuple[list[str], int]:
    """Return the ids of the parsed loads and the number of rejections."""
    record, rejected = parsed(sample(usedPowerKw=1.5, **lists))
    assert isinstance(record, Reading)
    assert record.used_power_kw == 1.5
    assert {rejection.reason for rejection in rejected} <= {Reason.BAD_LOAD}
    return [load.id for load in record.loads or ()], len(rejected)


def test_complete_entry_is_parsed() -> None:
    entry = {"id": "hvac1", "name": "HVAC", "type": "hvac", "capacityKw": 7.2, "currentPowerKw": 2.1}
    rest = {"shedCapabilityKw": 1.9, "enabled": False, "priority": 5}
    assert loads([entry | rest]) == (Load("hvac1", "HVAC", "hvac", 7.2, 2.1, 1.9, enabled=False, priority=5),)


def test_id_is_enough_and_load_is_enabled_by_default() -> None:
    names = ("name", "type", "capacityKw", "currentPowerKw", "shedCapabilityKw", "enabled", "priority")
    assert loads([{"id": "a"}]) == loads([{"id": "a"} | dict.fromkeys(names)]) == (Load("a"),)
    assert Load("a").enabled


def test_id_wins_over_load_id() -> None:
    assert loads([{"id": "a", "loadId": "b"}, {"loadId": "c"}, {"id": None, "loadId": "d"}]) == (
        Load("a"),
        Load("c"),
        Load("d"),
    )


def test_unknown_fields_are_kept_without_nul() -> None:
    assert loads([{"id": "a", "phase": "L1\0", "x": {"y\0": 1}}]) == (
        Load("a", extra={"phase": "L1\ufffd", "x": {"y\ufffd": 1}}),
    )


def test_circuits_count_only_without_loads() -> None:
    circuits = [{"id": "c", "currentKw": 1}]
    assert [load.id for load in loads([{"id": "a"}], circuits=circuits)] == ["a"]
    assert reading(loads=[], circuits=circuits).loads == ()
    assert (
        reading(loads=None, circuits=circuits).loads
        == reading(circuits=circuits).loads
        == (circuit(id="c", currentKw=1),)
    )
    assert reading(circuits=[]).loads == ()
    assert reading(circuits=circuits).extra is None
    assert reading(loads=None).loads is None
    assert reading().loads is None


@pytest.mark.parametrize("wrong", [{}, "x", 5, True])
def test_bad_circuits_beside_loads_are_ignored(wrong: Any) -> None:
    assert [load.id for load in loads([{"id": "a"}], circuits=wrong)] == ["a"]


def test_contract_circuit_is_parsed_as_a_load() -> None:
    fields = {"name": "Main HVAC", "breakerAmps": 30, "currentKw": 2.1, "currentAmps": 8.75}
    load = circuit(240, **fields, enabled=True, critical=False)
    assert (load.id, load.name, load.enabled) == ("c1", "Main HVAC", True)
    assert load.capacity_kw == pytest.approx(7.2)
    assert load.current_power_kw == load.shed_capability_kw == 2.1
    assert load.extra == {"currentAmps": 8.75, "critical": False}


@given(st.floats(0, 1000), st.none() | st.floats(100, 500))
def test_capacity_is_breaker_current_times_voltage(amps: float, volts: float | None) -> None:
    expected = amps * (240 if volts is None else volts) / 1000
    assert circuit(volts, breakerAmps=amps).capacity_kw == pytest.approx(expected)
    assert circuit(volts, breaker_amps=amps) == circuit(volts, breakerAmps=amps)
    assert circuit(volts, breakerAmps=amps, breaker_amps=amps + 1) == circuit(volts, breakerAmps=amps)


@given(POWER)
def test_circuit_can_shed_its_power_unless_critical(power: float) -> None:
    load = circuit(currentKw=power)
    assert load.current_power_kw == power
    assert load.shed_capability_kw == max(power, 0)
    assert circuit(current_kw=power) == circuit(currentKw=power, current_kw=power + 1) == load
    critical = circuit(currentKw=power, critical=True)
    assert (critical.current_power_kw, critical.shed_capability_kw) == (power, 0)


def test_circuit_without_power_has_unknown_capability() -> None:
    assert (circuit().current_power_kw, circuit().shed_capability_kw, circuit().capacity_kw) == (None, None, None)
    assert circuit(critical=True).shed_capability_kw == 0


@pytest.mark.parametrize(
    ("fields", "powers"),
    [
        ({"current_kw": 2.5, "breaker_amps": 30}, (7.2, 2.5, 2.5)),
        ({"currentKw": 2.5, "breakerAmps": 30, "critical": False}, (7.2, 2.5, 2.5)),
        ({"currentPowerKw": 2.5, "breaker_amps": 30}, (7.2, 2.5, 2.5)),
        ({"currentPowerKw": 2.5, "capacityKw": 5, "critical": False}, (5, 2.5, 2.5)),
        ({"current_kw": 2.5, "breaker_amps": 30, "critical": True}, (7.2, 2.5, 0)),
        ({"current_kw": 2.5, "shedCapabilityKw": 1}, (None, 2.5, 1)),
        ({"current_kw": -2.5}, (None, -2.5, 0)),
        ({"breaker_amps": 30}, (7.2, None, None)),
        ({"currentPowerKw": 2.5}, (None, 2.5, None)),
        ({"currentPowerKw": 2.5, "current_kw": 9, "capacityKw": 5, "breaker_amps": 30}, (5, 2.5, None)),
    ],
)
def test_entry_of_loads_may_use_circuit_spellings(fields: dict[str, Any], powers: tuple[float | None, ...]) -> None:
    (load,) = loads([{"id": "a"} | fields])
    assert (load.capacity_kw, load.current_power_kw, load.shed_capability_kw) == powers
    assert set(load.extra or ()) <= {"critical"}


LOAD_SPELLINGS = {
    "id": ("id", "loadId"),
    "current": ("currentKw", "current_kw"),
    "amps": ("breakerAmps", "breaker_amps"),
}


@given(st.data(), st.sampled_from(["loads", "circuits"]))
def test_any_mixture_of_load_spellings_is_the_same_load(data: st.DataObject, name: str) -> None:
    values: dict[str, Any] = {"id": "a", "current": 2.5, "amps": 30}
    entry: dict[str, Any] = {}
    for field, spellings in LOAD_SPELLINGS.items():
        used = data.draw(st.lists(st.sampled_from(spellings), min_size=1, unique=True))
        entry |= dict.fromkeys(used, values[field])
    assert reading(**{name: [entry]}).loads == (Load("a", None, None, 7.2, 2.5, 2.5),)


NO_NUMBERS: list[Any] = ["1", [], True]
NO_BOOLEANS: list[Any] = [0, 1, "true", []]
BAD: list[Any] = [
    *(None, 5, "a", True, [], ["a"], {}, {"id": None}, {"id": ""}, {"loadId": ""}, {"name": "no id"}, {"id": 5}),
    *(
        {"id": "b", "name": "a\0"},
        {"id": "b\0"},
        {"id": "b" * (MAX_TEXT + 1)},
        {"id": "b", "type": "t" * (MAX_TEXT + 1)},
    ),
    *({"id": "b", field: wrong} for field in ("capacityKw", "currentPowerKw", "priority") for wrong in NO_NUMBERS),
    *({"id": "b", "enabled": wrong} for wrong in NO_BOOLEANS),
    *({"id": "b", "priority": wrong} for wrong in (1.5, 2**31, -(2**31), 1e300, 10**300)),
]
BAD_IN_CIRCUITS: list[Any] = [
    *BAD,
    *({"id": "b", field: "1"} for field in ("currentKw", "current_kw", "breakerAmps", "breaker_amps", "critical")),
]


@pytest.mark.parametrize("entry", BAD)
def test_bad_load_is_left_out_alone(entry: Any) -> None:
    assert kept(loads=[{"id": "a"}, entry, {"id": "c"}]) == (["a", "c"], 1)


@pytest.mark.parametrize("entry", BAD_IN_CIRCUITS)
def test_bad_circuit_is_left_out_alone(entry: Any) -> None:
    assert kept(circuits=[{"id": "a"}, entry, {"id": "c"}]) == (["a", "c"], 1)


def test_load_nested_too_deep_is_left_out_alone() -> None:
    nested: Any = 1
    for _ in range(40):
        nested = [nested]
    assert kept(loads=[{"id": "a", "x": nested}, {"id": "c"}]) == (["c"], 1)


def test_first_of_loads_with_one_id_wins() -> None:
    record, rejected = parsed(sample(loads=[{"id": "a", "name": "first"}, {"loadId": "a"}, {"id": "b"}]))
    assert isinstance(record, Reading)
    assert record.loads == (Load("a", "first"), Load("b"))
    assert [rejection.reason for rejection in rejected] == [Reason.BAD_LOAD]
    assert "'a'" in rejected[0].detail


@given(
    st.lists(
        st.sampled_from([{"id": "a"}, {"loadId": "b"}, {"id": "c", "priority": 3.0}, None, {"id": "a", "enabled": 0}]),
        max_size=MAX_REJECTED,
    )
)
def test_each_entry_is_a_load_or_a_rejection(entries: list[Any]) -> None:
    good = [entry.get("id") or entry["loadId"] for entry in entries if entry and "enabled" not in entry]
    first = list(dict.fromkeys(good))
    assert kept(loads=entries) == (first, len(entries) - len(first))


def test_detail_of_a_rejection_has_the_index() -> None:
    _, rejected = parsed(sample(loads=[{"id": "a"}, {"id": "b"}, None, {"id": "c"}]))
    assert "load 2" in rejected[0].detail


@pytest.mark.parametrize("priority", [0, -3, 5, 5.0, 2**31 - 1])
def test_priority_is_a_whole_number(priority: float) -> None:
    (load,) = loads([{"id": "a", "priority": priority}])
    assert load.priority == priority
    assert isinstance(load.priority, int)
