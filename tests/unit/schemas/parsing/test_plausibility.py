"""Power beyond the limit of a VEN is rejected; implausible loads are left out alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind
from schemas.parsing.loads import MAX_REJECTED
from schemas.parsing.plausibility import check_power
from schemas.parsing.result import Parsed
from tests.unit.samples import STAMP, outcome_of

LIMIT = 1000.0
SHADOW = "$aws/things/ven-1/shadow/update"
POWERS = ("usedPowerKw", "power_kw", "shedPowerKw", "shed_kw", "baselinePowerKw", "base_power_kw")


def checked(kind: Kind, topic: str, document: Any, limit: float = LIMIT) -> Parsed | Rejection:
    outcome = outcome_of(kind, topic, document)
    assert isinstance(outcome, Parsed)
    return check_power(outcome, limit)


def sample(limit: float = LIMIT, /, **fields: Any) -> Parsed | Rejection:
    return checked(Kind.METERING, "volttron/metering", {"venId": "ven-1", "timestamp": STAMP} | fields, limit)


def shadow(**reported: Any) -> Parsed | Rejection:
    return checked(Kind.SHADOW, SHADOW, {"state": {"reported": reported}, "version": 3})


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("power", [4_294_967.295, -1000.1, 1e9])
def test_sample_or_shadow_beyond_the_limit_is_rejected(name: str, power: float) -> None:
    for outcome in (sample(**{name: power}), shadow(**{name: power})):
        assert isinstance(outcome, Rejection)
        assert outcome.reason is Reason.IMPLAUSIBLE
        assert str(power) in outcome.detail


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("power", [1000, -1000, 0, None])
def test_power_within_the_limit_is_accepted(name: str, power: float | None) -> None:
    assert isinstance(sample(**{name: power}), Parsed)
    assert isinstance(shadow(**{name: power}), Parsed)


def test_limit_of_the_ven_decides() -> None:
    assert isinstance(sample(5000, usedPowerKw=4999), Parsed)
    assert isinstance(sample(10, usedPowerKw=11), Rejection)


@pytest.mark.parametrize(
    "fields",
    [
        {"capacityKw": 1001},
        {"currentPowerKw": -1001},
        {"shedCapabilityKw": 1e9},
        {"current_kw": 1001},
        {"breaker_amps": 5000},
    ],
)
def test_implausible_load_is_left_out_alone(fields: dict[str, Any]) -> None:
    loads = [{"id": "a", "currentPowerKw": 1}, {"id": "bad"} | fields, {"id": "c"}]
    topic, message = "ven/loads/ven-1", {"timestamp": STAMP, "loads": loads}
    for outcome in (sample(usedPowerKw=1.5, loads=loads), checked(Kind.LOADS, topic, message)):
        assert isinstance(outcome, Parsed)
        assert [load.id for load in outcome.record.loads] == ["a", "c"]
        assert [rejection.reason for rejection in outcome.rejected_loads] == [Reason.IMPLAUSIBLE]
        assert "'bad'" in outcome.rejected_loads[0].detail


@pytest.mark.parametrize("name", ["loads", "circuits"])
def test_implausible_load_of_a_shadow_is_left_out_alone(name: str) -> None:
    entries = [{"id": "a", "current_kw": 1}, {"id": "bad", "current_kw": 1e6}, None, {"id": "c", "current_kw": "x"}]
    outcome = shadow(power_kw=2, **{name: entries})
    assert isinstance(outcome, Parsed)
    expected = {"power_kw": 2, name: [entries[0], *entries[2:]]}
    assert outcome.record.document == {"state": {"reported": expected}, "version": 3}
    assert [rejection.reason for rejection in outcome.rejected_loads] == [Reason.IMPLAUSIBLE]


def test_rejections_of_implausible_loads_are_bounded() -> None:
    outcome = sample(loads=[{"id": f"load-{number}", "capacityKw": 1e6} for number in range(500)])
    assert isinstance(outcome, Parsed)
    assert outcome.record.loads == ()
    assert len(outcome.rejected_loads) == MAX_REJECTED + 1
    assert "480 more" in outcome.rejected_loads[-1].detail


def test_other_kinds_have_no_power_to_check() -> None:
    ack = {"op": "event", "status": "accepted", "actual_shed_kw": 5000}
    assert isinstance(checked(Kind.ACKS, "ven/ack/ven-1", ack), Parsed)


@given(st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_plausible_loads_are_never_lost(powers: list[float]) -> None:
    loads = [{"id": f"load-{number}", "currentPowerKw": power} for number, power in enumerate(powers)]
    outcome = sample(loads=loads)
    assert isinstance(outcome, Parsed)
    assert [load.current_power_kw for load in outcome.record.loads] == [
        power for power in powers if abs(power) <= LIMIT
    ]
