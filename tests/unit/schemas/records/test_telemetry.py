"""The canonical record as consumers of the log see it."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.records.telemetry import (
    MAX_MAGNITUDE,
    FaultReport,
    Load,
    Reading,
    decode_fault,
    decode_reading,
    encode_measurement,
    encode_record,
)

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
FLOATS = st.none() | st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE)
TEXT = st.text('ab é\N{GRINNING FACE}"\\', min_size=1, max_size=8)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - in UTC by `timezones`
EXTRA = st.none() | st.dictionaries(
    TEXT, st.none() | st.booleans() | TEXT | st.integers() | st.lists(TEXT, max_size=2), max_size=2
)
LOADS = st.builds(
    Load,
    TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    FLOATS,
    FLOATS,
    FLOATS,
    st.booleans(),
    st.none() | st.integers(0, 9),
    EXTRA,
)
READINGS = st.builds(
    Reading,
    ven_id=TEXT,
    timestamp=TIMES,
    received_at=TIMES,
    used_power_kw=FLOATS,
    battery_soc=FLOATS,
    event_id=st.none() | TEXT,
    message_num=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    loads=st.none() | st.lists(LOADS, max_size=2).map(tuple),
    extra=EXTRA,
)


@given(READINGS)
def test_a_reading_survives_encoding(reading: Reading) -> None:
    again = decode_reading(encode_record(reading))
    assert again == reading
    assert again.timestamp.utcoffset() == again.received_at.utcoffset() == timedelta(0)


@given(st.builds(FaultReport, TEXT, TIMES, TIMES, TEXT))
def test_a_fault_report_survives_encoding(report: FaultReport) -> None:
    assert decode_fault(encode_record(report)) == report


@given(READINGS)
def test_names_are_camel_case_and_unknown_values_omitted(reading: Reading) -> None:
    plain = json.loads(encode_record(reading))
    assert {"venId", "timestamp", "receivedAt"} <= plain.keys()
    assert plain.keys() <= {
        "venId",
        "timestamp",
        "receivedAt",
        "usedPowerKw",
        "batterySoc",
        "eventId",
        "messageNum",
        "loads",
        "extra",
    }
    assert None not in plain.values()


def test_missing_and_empty_loads_differ() -> None:
    now = datetime(2025, 3, 10, tzinfo=UTC)
    silent = Reading(ven_id="a", timestamp=now, received_at=now)
    empty = Reading(ven_id="a", timestamp=now, received_at=now, loads=())
    assert decode_reading(encode_record(silent)).loads is None
    assert decode_reading(encode_record(empty)).loads == ()


@given(READINGS, READINGS)
def test_digest_tells_other_content_but_no_receive_time(reading: Reading, other: Reading) -> None:
    digest = decode_reading(encode_measurement(reading, 0)).digest
    later = msgspec.structs.replace(reading, received_at=other.received_at)
    assert decode_reading(encode_measurement(later, 0)).digest == digest is not None
    changed = msgspec.structs.replace(other, received_at=reading.received_at)
    assert (decode_reading(encode_measurement(changed, 0)).digest == digest) == (
        encode_record(changed) == encode_record(reading)
    )


def test_digest_is_the_only_difference_of_the_encoding() -> None:
    now = datetime(2025, 3, 10, tzinfo=UTC)
    reading = Reading(ven_id='a","receivedAt":"b', timestamp=now, received_at=now, used_power_kw=1.0)
    decoded = decode_reading(encode_measurement(reading, 0))
    assert msgspec.structs.replace(decoded, digest=None) == reading


def test_the_clock_skew_is_added_and_does_not_change_the_digest() -> None:
    reading = Reading(ven_id="ven-1", timestamp=NOON, received_at=NOON, used_power_kw=1.5)
    plain, skewed = (decode_reading(encode_measurement(reading, skew)) for skew in (0.0, -239.8))
    assert skewed.clock_skew_seconds == -239.8
    assert skewed.corrected_time == NOON - timedelta(seconds=239.8)
    assert skewed.digest == plain.digest
