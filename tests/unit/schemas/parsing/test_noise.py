"""Payloads with noise around the JSON, and payloads that are empty."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from tests.unit.near_misses import GOOD
from tests.unit.samples import outcome_of, reason_of

PREFIXES = st.sampled_from([b"", b"\xef\xbb\xbf"])
SUFFIXES = st.text(" \t\r\n\0", max_size=5).map(str.encode)


@given(st.sampled_from(GOOD), PREFIXES, st.text(" \n\t", max_size=3).map(str.encode), SUFFIXES)
def test_noise_around_a_message_is_ignored(
    message: tuple[Kind, str, Any], bom: bytes, space: bytes, suffix: bytes
) -> None:
    kind, topic, document = message
    payload = json.dumps(document).encode()
    assert outcome_of(kind, topic, bom + space + payload + suffix) == outcome_of(kind, topic, payload)


@pytest.mark.parametrize(("kind", "topic", "_document"), GOOD)
def test_empty_payload_is_not_stored(kind: Kind, topic: str, _document: Any) -> None:
    for retained in (False, True):
        assert outcome_of(kind, topic, b"", retained=retained) is None


@pytest.mark.parametrize("payload", [b" ", b"\0", b"\r\n\0 ", b"\xef\xbb\xbf", b"\xef\xbb\xbf \0"])
def test_payload_of_nothing_but_noise_is_rejected(payload: bytes) -> None:
    assert reason_of(Kind.METERING, "volttron/metering", payload) is Reason.EMPTY


@pytest.mark.parametrize("payload", [b"{}\xef\xbb\xbf", b"\0{}", b"{}\0{}", b"\xff\xfe{}"])
def test_noise_elsewhere_is_not_json(payload: bytes) -> None:
    assert reason_of(Kind.METERING, "volttron/metering", payload) is Reason.NOT_JSON
