"""JSON, VEN ids, times and spellings in payloads of any kind."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, RejectedError
from schemas.parsing.common import (
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    check_ven_id,
    decode_object,
    first_of,
    parse_time,
    storable,
    time_of,
    ven_id_of,
)

# Milliseconds are recognised by size: these instants are large in milliseconds and small in seconds.
INSTANTS = st.integers(978_307_200_000, 4_102_444_800_000)  # 2001 to 2100, milliseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reason_of(call: Any, *arguments: Any) -> Reason:
    with pytest.raises(RejectedError) as caught:
        call(*arguments)
    return caught.value.rejection.reason


@given(INSTANTS, st.integers(-14 * 60, 14 * 60))
def test_every_form_of_a_time_is_the_same_instant(milliseconds: int, offset_minutes: int) -> None:
    instant = EPOCH + timedelta(milliseconds=milliseconds)
    there = instant.astimezone(timezone(timedelta(minutes=offset_minutes)))
    naive = instant.replace(tzinfo=None)
    forms: list[Any] = [
        milliseconds,
        float(milliseconds),
        milliseconds / 1000,
        instant.isoformat(),
        naive.isoformat(),
        naive.isoformat() + "Z",
        naive.isoformat(sep=" "),
        naive.isoformat(timespec="milliseconds") + "Z",
        there.isoformat(),
    ]
    if milliseconds % 1000 == 0:
        forms.append(milliseconds // 1000)
    assert [parse_time(form) for form in forms] == [instant] * len(forms)
    assert all(parse_time(form).tzinfo is UTC for form in forms)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process can be changed on Unix only")
def test_text_without_zone_is_utc_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-9")
        time.tzset()
        there = datetime.fromtimestamp(0).hour  # noqa: DTZ006 - to see that the zone took effect
        parsed = parse_time("2024-10-23T16:13:20")
    time.tzset()
    assert there == 9
    assert parsed == datetime(2024, 10, 23, 16, 13, 20, tzinfo=UTC)


@given(st.integers(978_307_200, 4_102_444_800))
def test_whole_seconds_may_be_int_or_float(seconds: int) -> None:
    assert parse_time(seconds) == parse_time(float(seconds)) == EPOCH + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("", "half past nine", "2024-13-01T00:00:00Z", "1729700000", "0001-01-01T00:00:00+10:00", "a\0b"),
        *("20261130", 20261130, 20261130.0, 10_000_000, 99_999_999.5),
        *(True, False, [], {}, [1729700000], {"seconds": 1}, 10**30, -(10**30), 1.7e308, 10**4000, 1.7e18),
    ],
)
def test_other_values_are_a_bad_time(value: Any) -> None:
    assert reason_of(parse_time, value) is Reason.BAD_TIME


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_any_value_is_a_utc_time_or_a_bad_time(value: Any) -> None:
    try:
        assert parse_time(value).utcoffset() == timedelta(0)
    except RejectedError as error:
        assert error.rejection.reason is Reason.BAD_TIME  # noqa: PT017 - an instant is as good


def test_basic_iso_date_with_time_is_accepted() -> None:
    assert parse_time("20261130T101500Z") == datetime(2026, 11, 30, 10, 15, tzinfo=UTC)
    assert parse_time("2026-11-30") == datetime(2026, 11, 30, tzinfo=UTC)


def test_timestamp_wins_over_ts_and_null_is_absent() -> None:
    assert time_of({"timestamp": 1, "ts": "wrong"}) == time_of({"timestamp": None, "ts": 1}) == parse_time(1)
    assert reason_of(time_of, {"timestamp": None, "ts": None}) is Reason.MISSING_TIME
    assert time_of({"timestamp": 0}) == EPOCH


def test_modern_id_wins_and_null_is_absent() -> None:
    assert ven_id_of({"venId": "a", "ven_id": 7}) == ven_id_of({"venId": None, "ven_id": "a"}) == "a"
    assert reason_of(ven_id_of, {"venId": None}) is Reason.MISSING_ID
    assert reason_of(ven_id_of, {}) is Reason.MISSING_ID


@pytest.mark.parametrize(
    "value",
    ["v", "v" * 128, "...", "Summary", "ven-001", "Küche 2", "a.b_c:d@e$", "\N{HOUSE BUILDING}", "家"],
)
def test_id_of_1_to_128_characters_is_accepted(value: str) -> None:
    assert check_ven_id(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", "v" * 129, "a/b", "a+", "#", "a\0", "a\nb", "\x7f", "a\x85", 5, True, [], {}),
        *("summary", ".", "..", "a\ufffe", "\ufdd0", "\U0010ffff", "a\ud800"),
    ],
)
def test_id_that_cannot_be_a_topic_level_is_rejected(value: Any) -> None:
    assert reason_of(check_ven_id, value) is Reason.BAD_ID


@given(st.text(st.characters(codec="ascii"), max_size=130))
def test_ascii_ids_follow_the_contract(value: str) -> None:
    good = 1 <= len(value) <= 128 and not set(value) & set("/+#") and all(" " <= sign <= "~" for sign in value)
    good = good and value not in {".", "..", "summary"}
    if good:
        assert check_ven_id(value) == value
    else:
        assert reason_of(check_ven_id, value) is Reason.BAD_ID


def test_first_spelling_that_is_not_null_wins() -> None:
    assert first_of({"a": None, "b": 0, "c": 1}, "a", "b", "c") == 0
    assert first_of({"a": False, "b": 1}, "a", "b") is False
    assert first_of({"a": None}, "a", "b") is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"{", Reason.NOT_JSON),
        (b"{} {}", Reason.NOT_JSON),
        (b'{"a":NaN}', Reason.NOT_JSON),
        (b'{"a":"\xff"}', Reason.NOT_JSON),
        (b'{"a":"\\ud800"}', Reason.NOT_JSON),
        (b"\xef\xbb\xbf{}", Reason.NOT_JSON),
        (b'{"a":1e400}', Reason.BAD_VALUE),
        (b'{"a":%s}' % (b"9" * 5000), Reason.BAD_VALUE),
        (b"[]", Reason.NOT_OBJECT),
        (b"null", Reason.NOT_OBJECT),
        (b'"text"', Reason.NOT_OBJECT),
        (b"17", Reason.NOT_OBJECT),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b'{"a":' * 20_000, Reason.TOO_DEEP),
    ],
)
def test_payload_that_is_no_object_is_rejected(payload: bytes, reason: Reason) -> None:
    assert reason_of(decode_object, payload) is reason


def test_payload_of_more_than_128_kib_is_rejected() -> None:
    largest = b'{"a":"' + b"x" * (128 * 1024 - 8) + b'"}'
    assert len(largest) == MAX_PAYLOAD_BYTES == 131_072
    assert decode_object(largest)
    assert reason_of(decode_object, largest + b" ") is Reason.TOO_LARGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab\0é"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\0"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_storable_value_has_no_nul(value: Any) -> None:
    kept = json.dumps(storable(value))
    assert "\\u0000" not in kept
    # Two keys may become one.
    if "\\u0000" not in json.dumps(value):
        assert kept == json.dumps(value)
    assert storable(storable(value)) == storable(value)


def test_nul_is_replaced_in_values_and_keys() -> None:
    assert storable({"a\0b": ["\0", 1, None]}) == {"a\ufffdb": ["\ufffd", 1, None]}


def test_value_nested_too_deep_is_rejected() -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert storable(nested) == nested
    assert reason_of(storable, [nested]) is Reason.TOO_DEEP
    assert reason_of(storable, {"a": nested}) is Reason.TOO_DEEP
