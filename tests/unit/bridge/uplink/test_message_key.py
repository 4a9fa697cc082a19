"""The key of a raw record is the VEN's id, so that one VEN's messages stay in order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.uplink.uplink import _key
from schemas.mqtt.routing import Kind
from schemas.parsing.result import Parsed
from tests.unit.samples import RECEIVED, parse_metering, sample

METERING = "volttron/metering"


@pytest.mark.parametrize(
    ("kind", "topic", "document", "key"),
    [
        (Kind.METERING, METERING, {"venId": "a"}, b"a"),
        (Kind.METERING, METERING, {"ven_id": "a"}, b"a"),
        (Kind.METERING, METERING, {"venId": None, "ven_id": "a"}, b"a"),
        (Kind.METERING, METERING, {"venId": "a", "ven_id": "b"}, b"a"),
        (Kind.METERING, METERING, {"venId": "Küche"}, "Küche".encode()),
        (Kind.METERING, METERING, {"venId": 5}, None),
        (Kind.METERING, METERING, {"x": 1}, None),
        (Kind.METERING, METERING, {"venId": "v" * 128}, b"v" * 128),
        (Kind.METERING, METERING, {"venId": "v" * 129}, None),
        (Kind.METERING, "ven/telemetry/t", {"venId": "a"}, b"a"),
        (Kind.METERING, "ven/telemetry/t", {"x": 1}, b"t"),
        (Kind.METERING, "ven/telemetry/t", ["venId"], b"t"),
        (Kind.LOADS, "ven/loads/t", {}, b"t"),
        (Kind.STATUS, "volttron/dev", {"ven": "offline", "venId": "a"}, b"a"),
        (Kind.STATUS, "volttron/dev", {"ven": "ready"}, None),
        (Kind.RESPONSES, "openadr/response", {"ven_id": "a", "response": "ack"}, b"a"),
        (Kind.ACKS, "ven/ack/t", {"venId": "a"}, b"t"),
        (Kind.SHADOW, "$aws/things/t/shadow/update", {"venId": "a"}, b"t"),
        (Kind.OTHER, "site/weather", {"venId": "a"}, b"a"),
        (Kind.OTHER, "site/weather", {}, None),
    ],
)
def test_the_key_is_the_ven_that_the_message_names(kind: Kind, topic: str, document: Any, key: bytes | None) -> None:
    assert _key(kind, topic, json.dumps(document).encode()) == key


UNREADABLE = [b"", b"no json", b"\xff", b"[" * 100_000, b'{"x":' + b"[" * 100_000, b'{"x":' * 20_000]
UNREADABLE += [b'{"venId":"\\ud800"}', b'{"venId":"\xff"}', b'{"venId":"a"', b'{"venId":"a"} {}']


@pytest.mark.parametrize("payload", UNREADABLE, ids=lambda payload: repr(payload[:16]))
def test_what_cannot_be_read_falls_to_the_topic(payload: bytes) -> None:
    assert _key(Kind.METERING, METERING, payload) is None
    assert _key(Kind.METERING, "ven/telemetry/t", payload) == b"t"


@given(
    st.sampled_from(Kind), st.sampled_from([METERING, "ven/telemetry/t", "ven/ack/", "$aws/things", ""]), st.binary()
)
def test_any_message_has_a_key_or_none(kind: Kind, topic: str, payload: bytes) -> None:
    key = _key(kind, topic, payload)
    assert key is None or len(key) > 0


@given(st.dictionaries(st.sampled_from(["venId", "ven_id"]), st.none() | st.text("ab/é\0", max_size=3)))
def test_a_sample_that_counts_is_keyed_as_its_canonical_record(ids: dict[str, str | None]) -> None:
    payload = sample(**{"venId": ...} | ids)
    outcome = parse_metering(payload, RECEIVED)
    if isinstance(outcome, Parsed):
        assert _key(Kind.METERING, METERING, payload) == outcome.record.ven_id.encode()
