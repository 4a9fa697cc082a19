"""The fast path for plain samples gives the same result as the full parser."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mqtt.routing import Kind
from schemas.parsing import metering
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source

SOURCE = Source("volttron/metering", datetime(2026, 11, 24, tzinfo=UTC))

numbers = st.one_of(
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 1, 1e9, -1e9, 1e9 + 1, 2**31, -(2**31), 2**63, -(2**63), 5.0, 100, 101]),
)
texts = st.one_of(st.text(max_size=20), st.sampled_from(["", "\0", "a" * 256, "a" * 257, "a" * 1025, "\ud7ff", "1"]))
anything = st.one_of(st.none(), st.booleans(), numbers, texts, st.lists(numbers, max_size=2))
most_right = st.one_of(st.floats(0, 10), st.none(), anything)

loads = st.fixed_dictionaries(
    {"id": st.one_of(st.sampled_from(["hvac1", "ev1", ""]), texts)},
    optional={
        "loadId": texts,
        "name": st.one_of(texts, st.none()),
        "type": st.one_of(texts, st.none()),
        "capacityKw": most_right,
        "currentPowerKw": most_right,
        "shedCapabilityKw": most_right,
        "enabled": st.one_of(st.booleans(), anything),
        "priority": st.one_of(st.integers(1, 5), anything),
        "extra": anything,
        "other": anything,
    },
)
samples = st.fixed_dictionaries(
    {"venId": st.one_of(st.sampled_from(["ven-1", "ven/1"]), anything), "timestamp": st.one_of(numbers, texts)},
    optional={
        "ven_id": anything,
        "ts": anything,
        "schemaVersion": anything,
        "usedPowerKw": most_right,
        "power_kw": most_right,
        "shedPowerKw": most_right,
        "shed_kw": most_right,
        "requestedReductionKw": most_right,
        "eventId": st.one_of(texts, anything),
        "event_id": anything,
        "active_event": anything,
        "batterySoc": most_right,
        "batterySOC": most_right,
        "panelVoltage": most_right,
        "message_num": st.one_of(st.integers(0, 9), anything),
        "error": anything,
        "unknown": anything,
        "loads": st.one_of(st.lists(loads, max_size=3), anything),
        "circuits": st.one_of(st.none(), st.lists(loads, max_size=2)),
    },
)


def parsed(payload: bytes) -> Any:
    outcome = parse(Kind.METERING, payload, SOURCE)
    return (outcome.record, list(outcome.rejected_loads)) if isinstance(outcome, Parsed) else outcome


def fully(payload: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metering, "_parse_plain", lambda _payload, _source: None)
        return parsed(payload)


@given(samples)
def test_fast_path_equals_full_parser(sample: dict[str, Any]) -> None:
    payload = json.dumps(sample).encode()
    assert parsed(payload) == fully(payload)


def test_usual_sample_takes_the_fast_path() -> None:
    load = {"id": "hvac1", "name": "HVAC", "type": "hvac", "capacityKw": 5, "currentPowerKw": 2.5, "priority": 3}
    sample = {"venId": "ven-1", "timestamp": 1_761_239_100, "usedPowerKw": 8.2, "power_kw": 8.2, "loads": [load]}
    assert metering._parse_plain(json.dumps(sample).encode(), SOURCE) is not None


def test_field_named_extra_is_an_unknown_field() -> None:
    payload = b'{"venId":"ven-1","timestamp":1,"loads":[{"id":"a","extr\\u0061":{"b":1}},{"id":"c","extra":null}]}'
    reading, _ = parsed(payload)
    assert [load.extra for load in reading.loads] == [{"extra": {"b": 1}}, None]


@pytest.mark.parametrize("text", ["\\u0000", "\\U0000"])
def test_nul_character_takes_the_full_parser(text: str) -> None:
    payload = b'{"venId":"ven-1","timestamp":1,"eventId":"%s"}' % text.encode()
    assert parsed(payload) == fully(payload)
