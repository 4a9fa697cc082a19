"""Metering samples in every spelling and form of the contract become the same canonical record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.common import MAX_TEXT
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import Load, Reading
from tests.unit.samples import MEASURED, RECEIVED, STAMP, fault, parsed, reading, refused, sample

SPELLINGS = {
    "used_power_kw": ("usedPowerKw", "power_kw"),
    "shed_power_kw": ("shedPowerKw", "shed_kw"),
    "event_id": ("eventId", "event_id", "active_event"),
    "baseline_power_kw": ("baselinePowerKw", "base_power_kw"),
    "battery_soc": ("batterySoc", "batterySOC", "battery_soc"),
}
PLAIN = {
    "requested_reduction_kw": "requestedReductionKw",
    "panel_amperage_rating": "panelAmperageRating",
    "panel_voltage": "panelVoltage",
    "panel_max_kw": "panelMaxKw",
    "current_amps": "currentAmps",
    "panel_utilization_percent": "panelUtilizationPercent",
}
CASES = [(field, spelling) for field, spellings in SPELLINGS.items() for spelling in spellings]
VALUES: dict[str, Any] = dict.fromkeys(SPELLINGS, 0.75) | {"event_id": "evt-1"}


def test_contract_sample_is_parsed() -> None:
    hvac = {"id": "hvac1", "name": "HVAC", "type": "hvac", "capacityKw": 7.2, "currentPowerKw": 2.1}
    record = reading(
        schemaVersion="1.0",
        usedPowerKw=8.2,
        shedPowerKw=4.8,
        requestedReductionKw=5.0,
        eventId="evt-123",
        baselinePowerKw=13.0,
        batterySoc=0.85,
        panelAmperageRating=200,
        panelVoltage=240,
        panelMaxKw=48.0,
        currentAmps=34.2,
        panelUtilizationPercent=17.1,
        power_kw=8.2,
        shed_kw=4.8,
        base_power_kw=13.0,
        ts=STAMP,
        active_event="evt-123",
        message_num=17,
        loads=[hvac | {"shedCapabilityKw": 2.1, "enabled": True, "priority": 5}],
    )
    assert record == Reading(
        ven_id="ven-001",
        timestamp=MEASURED,
        received_at=RECEIVED,
        used_power_kw=8.2,
        shed_power_kw=4.8,
        requested_reduction_kw=5.0,
        event_id="evt-123",
        baseline_power_kw=13.0,
        battery_soc=0.85,
        panel_amperage_rating=200,
        panel_voltage=240,
        panel_max_kw=48.0,
        current_amps=34.2,
        panel_utilization_percent=17.1,
        message_num=17,
        loads=(Load("hvac1", "HVAC", "hvac", 7.2, 2.1, 2.1, enabled=True, priority=5),),
        extra=None,
    )


def test_id_and_time_are_enough() -> None:
    assert reading() == Reading(ven_id="ven-001", timestamp=MEASURED, received_at=RECEIVED)


@pytest.mark.parametrize(("field", "name"), [*CASES, *PLAIN.items()])
def test_each_spelling_fills_only_its_field(field: str, name: str) -> None:
    value = VALUES.get(field, 12.5)
    changed = {field: value, "ven_id": "ven-001", "timestamp": MEASURED, "received_at": RECEIVED}
    assert reading(**{name: value}) == Reading(**changed)


@pytest.mark.parametrize(("field", "name"), [*CASES, *PLAIN.items(), ("message_num", "message_num")])
def test_null_is_absent(field: str, name: str) -> None:
    assert getattr(reading(**{name: None}), field) is None
    assert reading(**{name: None}) == reading()


@pytest.mark.parametrize("field", SPELLINGS)
@pytest.mark.parametrize("wrong", [{}, [], True, "0.5x", 7])
def test_modern_spelling_wins_over_any_legacy_one(field: str, wrong: Any) -> None:
    modern, *legacy = SPELLINGS[field]
    record = reading(**{modern: VALUES[field]} | dict.fromkeys(legacy, wrong))
    assert record == reading(**{modern: VALUES[field]})


@pytest.mark.parametrize("field", ["event_id", "battery_soc"])
@pytest.mark.parametrize("wrong", [{}, True, VALUES])
def test_first_of_two_legacy_spellings_wins(field: str, wrong: Any) -> None:
    _, first, second = SPELLINGS[field]
    assert reading(**{second: wrong, first: VALUES[field]}) == reading(**{first: VALUES[field]})


@pytest.mark.parametrize("field", SPELLINGS)
def test_null_modern_spelling_is_absent(field: str) -> None:
    *before, last = SPELLINGS[field]
    assert reading(**dict.fromkeys(before) | {last: VALUES[field]}) == reading(**{last: VALUES[field]})


@pytest.mark.parametrize(
    ("field", "name"), [*CASES, *PLAIN.items(), ("", "message_num"), ("", "loads"), ("", "circuits")]
)
@pytest.mark.parametrize("wrong", [{}, True, ["x"], "plenty"])
def test_wrong_type_in_the_used_spelling_is_a_bad_value(field: str, name: str, wrong: Any) -> None:
    if (field == "event_id" and isinstance(wrong, str)) or (name in ("loads", "circuits") and isinstance(wrong, list)):
        return
    assert refused(sample(**{name: wrong})) is Reason.BAD_VALUE


@given(st.data())
def test_any_mixture_of_spellings_is_the_same_record(data: st.DataObject) -> None:
    mixed: dict[str, Any] = {}
    for field, spellings in SPELLINGS.items():
        used = data.draw(st.lists(st.sampled_from(spellings), min_size=1, unique=True))
        mixed |= dict.fromkeys(used, VALUES[field])
    ven = data.draw(st.sampled_from(["venId", "ven_id"]))
    time = data.draw(st.sampled_from(["timestamp", "ts"]))
    stamp = data.draw(
        st.sampled_from([STAMP, float(STAMP), STAMP * 1000, "2024-10-23T16:13:20", "2024-10-23T18:13:20+02:00"])
    )
    record = reading(**{"venId": ..., "timestamp": ..., ven: "ven-001", time: stamp} | mixed)
    assert record == reading(**{spellings[0]: VALUES[field] for field, spellings in SPELLINGS.items()})


@pytest.mark.parametrize(
    ("given_value", "stored"),
    [(0, 0.0), (0.5, 0.5), (1, 1.0), (1.0, 1.0), (1.5, 0.015), (50, 0.5), (85.0, 0.85), (100, 1.0)],
)
def test_battery_above_1_is_percent(given_value: float, stored: float) -> None:
    assert reading(batterySoc=given_value).battery_soc == pytest.approx(stored)


@pytest.mark.parametrize("value", [-0.01, -50, 100.01, 1e300])
def test_battery_out_of_range_is_a_bad_value(value: float) -> None:
    assert refused(sample(battery_soc=value)) is Reason.BAD_VALUE


@pytest.mark.parametrize("number", [0, 1, 17, 17.0, -3, 2**53, 2**62])
def test_message_number_is_a_whole_number(number: float) -> None:
    stored = reading(message_num=number).message_num
    assert stored == number
    assert isinstance(stored, int)


@pytest.mark.parametrize("number", [1.5, 2**63, -(2**63), 1e300, 10**300])
def test_message_number_beyond_its_column_is_rejected(number: float) -> None:
    assert refused(sample(message_num=number)) is Reason.BAD_VALUE


def test_empty_event_id_is_no_event() -> None:
    assert reading(eventId="").event_id is None


def test_event_id_is_bounded_and_has_no_nul() -> None:
    assert reading(eventId="e" * MAX_TEXT).event_id == "e" * MAX_TEXT
    assert refused(sample(eventId="e" * (MAX_TEXT + 1))) is Reason.BAD_VALUE
    assert refused(sample(active_event="e\0")) is Reason.BAD_VALUE


def test_event_id_made_by_a_device_is_accepted() -> None:
    assert reading(eventId="ui-evt-1795492455").event_id == "ui-evt-1795492455"


def test_only_unknown_fields_are_kept_as_extra() -> None:
    record = reading(schemaVersion="2.0", firmware={"version": [1, None]}, note="a\0b", eventId=None, power_kw=1)
    assert record.extra == {"firmware": {"version": [1, None]}, "note": "a\ufffdb"}
    assert record.used_power_kw == 1


def test_sample_nested_too_deep_is_rejected() -> None:
    assert refused(sample(x=[]).replace(b"[]", b"[" * 40 + b"]" * 40)) is Reason.TOO_DEEP


def test_sample_with_error_is_a_fault_report() -> None:
    report = fault(error="inverter offline", venId=..., ven_id="ven-9", timestamp=..., ts=STAMP * 1000)
    assert (report.ven_id, report.timestamp, report.received_at) == ("ven-9", MEASURED, RECEIVED)
    assert report.error == "inverter offline"


def test_text_of_a_fault_is_storable() -> None:
    assert fault(error="a\0b").error == "a\ufffdb"


@pytest.mark.parametrize("name", SPELLINGS["used_power_kw"])
def test_sample_with_power_and_error_is_a_reading(name: str) -> None:
    record = reading(**{name: 1.5, "error": "fan slow"})
    assert record.used_power_kw == 1.5
    assert record.extra == {"error": "fan slow"}


@pytest.mark.parametrize("error", [None, False, True, "", 0, 7, {}, {"code": 7}, []])
def test_error_that_is_no_text_is_no_fault(error: Any) -> None:
    assert reading(error=error, shedPowerKw=1).shed_power_kw == 1


def test_unknown_power_field_is_no_power() -> None:
    record = reading(usedPowerW=8200)
    assert (record.used_power_kw, record.extra) == (None, {"usedPowerW": 8200})


def test_topic_of_a_ven_names_the_ven() -> None:
    source = Source("ven/telemetry/ven-7", RECEIVED)
    for payload in (sample(venId=...), sample(venId=..., firmware=1)):
        outcome = parse(Kind.METERING, payload, source)
        assert isinstance(outcome, Parsed)
        assert outcome.record.ven_id == "ven-7"


@pytest.mark.parametrize(
    ("changes", "reason"), [({"timestamp": None}, Reason.MISSING_TIME), ({"venId": "a/b"}, Reason.BAD_ID)]
)
def test_fault_report_needs_id_and_time(changes: dict[str, Any], reason: Reason) -> None:
    assert refused(sample(error="x", **changes)) is reason


def test_last_of_repeated_keys_wins() -> None:
    assert parsed(sample(usedPowerKw=1.5)[:-1] + b',"usedPowerKw":2.5}') == parsed(sample(usedPowerKw=2.5))


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - text without a zone
def test_text_without_zone_is_utc(moment: datetime) -> None:
    assert reading(timestamp=moment.isoformat()).timestamp == moment.replace(tzinfo=UTC)
    ahead = moment.isoformat() + "+03:00"
    assert reading(timestamp=ahead).timestamp == moment.replace(tzinfo=UTC) - timedelta(hours=3)
