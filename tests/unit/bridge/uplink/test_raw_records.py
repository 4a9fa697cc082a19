"""The key of a raw record is the VEN id, so that one VEN's messages stay in order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mqtt.record_key import message_key
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
        (Kind.METERING, METERING, [{"venId": "a"}, {"venId": "b"}], b"a"),
        (Kind.METERING, METERING, [], None),
        (Kind.METERING, METERING, [5], None),
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
def test_the_key_is_the_ven_id_of_the_message(kind: Kind, topic: str, document: Any, key: bytes | None) -> None:
    assert message_key(kind, topic, json.dumps(document).encode()) == key


def test_noise_around_the_payload_does_not_change_the_key() -> None:
    assert message_key(Kind.METERING, METERING, b'\xef\xbb\xbf{"venId":"a"}\n\0') == b"a"


UNREADABLE = [b"", b"no json", b"\xff", b"[" * 100_000, b'{"x":' + b"[" * 100_000, b'{"x":' * 20_000]
UNREADABLE += [b'{"venId":"\\ud800"}', b'{"venId":"\xff"}', b'{"venId":"a"', b'{"venId":"a"} {}']


@pytest.mark.parametrize("payload", UNREADABLE, ids=lambda payload: repr(payload[:16]))
def test_the_topic_gives_the_key_of_unreadable_payloads(payload: bytes) -> None:
    assert message_key(Kind.METERING, METERING, payload) is None
    assert message_key(Kind.METERING, "ven/telemetry/t", payload) == b"t"


@given(
    st.sampled_from(Kind), st.sampled_from([METERING, "ven/telemetry/t", "ven/ack/", "$aws/things", ""]), st.binary()
)
def test_no_payload_fails(kind: Kind, topic: str, payload: bytes) -> None:
    key = message_key(kind, topic, payload)
    assert key is None or len(key) > 0


@given(st.dictionaries(st.sampled_from(["venId", "ven_id"]), st.none() | st.text("ab/é\0", max_size=3)))
def test_a_valid_sample_has_the_key_of_its_canonical_record(ids: dict[str, str | None]) -> None:
    payload = sample(**{"venId": ...} | ids)
    outcome = parse_metering(payload, RECEIVED)
    if isinstance(outcome, Parsed):
        assert message_key(Kind.METERING, METERING, payload) == outcome.record.ven_id.encode()
