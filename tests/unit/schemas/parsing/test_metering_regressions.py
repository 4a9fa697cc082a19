"""Payloads that once caused bugs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.record_key import message_key
from schemas.mqtt.routing import Kind, Route, Routes
from schemas.parsing.common import check_ven_id
from schemas.parsing.loads import MAX_REJECTED
from schemas.parsing.result import Parsed
from schemas.records.dead_letters import dead_letter_headers
from schemas.records.telemetry import Reading, decode_reading, encode_record
from schemas.records.topics import HEADER_DETAIL
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttTopicSettings
from streams.live.aggregation import PartitionTotals
from tests.unit.samples import parse_metering

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def parse(**fields: Any) -> Parsed | Rejection:
    return parse_metering(msgspec.json.encode({"venId": "ven-1", "timestamp": 1795500000} | fields), NOW)


def reading(**fields: Any) -> Reading:
    parsed = parse(**fields)
    assert isinstance(parsed, Parsed)
    assert isinstance(parsed.record, Reading)
    return parsed.record


@pytest.mark.parametrize("depth", range(20, 1100))
def test_time_or_error_of_any_depth_does_not_raise(depth: int) -> None:
    for field in (b"timestamp", b"error"):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        outcome = parse_metering(b'{"venId":"v","ts":1795500000,"%s":%s}' % (field, nested), NOW)
        assert isinstance(outcome, Rejection | Parsed)


def test_rejections_of_bad_loads_are_bounded() -> None:
    parsed = parse(loads=[1] * 50_000)
    assert isinstance(parsed, Parsed)
    assert len(parsed.rejected_loads) == MAX_REJECTED + 1
    assert "49980 more" in parsed.rejected_loads[-1].detail


def test_huge_breaker_current_rejects_only_its_load() -> None:
    parsed = parse(panelVoltage=1e7, circuits=[{"id": "a", "breakerAmps": 1e6}, {"id": "b", "breakerAmps": 1}])
    assert isinstance(parsed, Parsed)
    assert [rejection.reason for rejection in parsed.rejected_loads] == [Reason.BAD_LOAD]
    assert isinstance(parsed.record, Reading)
    assert decode_reading(encode_record(parsed.record)) == parsed.record


def test_huge_power_is_a_bad_value() -> None:
    for field in ("usedPowerKw", "power_kw", "shedPowerKw", "currentAmps"):
        outcome = parse(**{field: 1.7e308})
        assert isinstance(outcome, Rejection)
        assert outcome.reason is Reason.BAD_VALUE


def test_null_unknown_field_is_not_kept() -> None:
    assert reading(circuits=None, custom=None).extra is None


def test_empty_modern_event_id_wins_over_legacy_one() -> None:
    assert reading(eventId="", event_id="evt-1").event_id is None
    assert reading(eventId="", event_id="evt-1", usedPowerKw=1, power_kw="x").event_id is None


def test_bad_legacy_spelling_in_a_load_is_ignored() -> None:
    (load,) = reading(loads=[{"id": "a", "loadId": 5}]).loads or ()
    assert load.id == "a"
    (load,) = reading(circuits=[{"id": "a", "currentKw": 1, "current_kw": "x"}]).loads or ()
    assert load.current_power_kw == 1.0


def test_detail_names_the_spelling_that_counts() -> None:
    outcome = parse(usedPowerKw=1, power_kw="x", shedPowerKw="y")
    assert isinstance(outcome, Rejection)
    assert "shedPowerKw" in outcome.detail


def test_critical_circuit_can_shed_nothing() -> None:
    (load,) = reading(circuits=[{"id": "a", "critical": True, "shedCapabilityKw": 3}]).loads or ()
    assert load.shed_capability_kw == 0.0


def test_impossible_voltage_counts_as_absent() -> None:
    (load,) = reading(panelVoltage=-240, circuits=[{"id": "a", "breakerAmps": 10}]).loads or ()
    assert load.capacity_kw == 2.4


def test_message_number_is_exact() -> None:
    assert reading(message_num=2**53 + 1).message_num == 2**53 + 1
    assert reading(message_num=17.0).message_num == 17


def test_lower_case_iso_time_is_accepted() -> None:
    assert reading(timestamp="2026-11-24t06:00:00z").timestamp == datetime(2026, 11, 24, 6, tzinfo=UTC)


def test_no_break_space_in_an_id_is_accepted() -> None:
    assert check_ven_id("maison\N{NO-BREAK SPACE}1") == "maison\N{NO-BREAK SPACE}1"
    outcome = parse(venId="a\x85b")
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.BAD_ID


def test_key_is_found_beside_a_bad_legacy_id() -> None:
    assert message_key(Kind.METERING, "volttron/metering", b'{"venId":"a","ven_id":5}') == b"a"
    assert message_key(Kind.METERING, "volttron/metering", b'{"venId":5}') is None


def test_error_of_a_bad_filter_names_its_setting() -> None:
    with pytest.raises(SettingsError, match="MQTT_TOPIC_METERING"):
        MqttTopicSettings.load(mqtt_topic_metering="a/b#")


def test_shared_subscription_has_its_kind() -> None:
    assert Routes([Route("$share/g/site/+", Kind.METERING)]).kind_of("site/1") is Kind.METERING


def test_long_detail_is_cut_between_characters() -> None:
    headers = dead_letter_headers(Rejection(Reason.BAD_VALUE, "€" * 1000), (), topic="t")
    assert set(dict(headers)[HEADER_DETAIL].decode()) == {"€"}


def test_totals_are_independent_of_reading_order() -> None:

    with_loads = reading(loads=[{"id": "ev", "currentPowerKw": 7.0, "shedCapabilityKw": 6.0}])
    without = msgspec.structs.replace(with_loads, timestamp=with_loads.timestamp + timedelta(seconds=5), loads=None)
    for order in ((with_loads, without), (without, with_loads)):
        totals = PartitionTotals(timedelta.max)
        for each in order:
            totals.update(each)
        found = totals.totals(NOW - timedelta(minutes=1))
        assert (found.controllable_power_kw, found.potential_load_reduction_kw) == (7.0, 6.0)
