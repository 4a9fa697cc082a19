"""Device shadows are stored as sent; other shadow messages of AWS are not stored."""

from typing import Any

import pytest

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.shadow import Shadow
from tests.unit.near_misses import nested
from tests.unit.samples import MEASURED, RECEIVED, STAMP, outcome_of, reason_of, record_of

TOPIC = "$aws/things/ven-1/shadow/update"
REPORTED = {
    "power_kw": 8.2,
    "shed_kw": 4.8,
    "panel_voltage": 240,
    "loads": [{"id": "ev1", "current_kw": 3.0, "breaker_amps": 30, "critical": True}],
    "active_event": {"event_id": "evt-1", "shed_kw": 4.8, "end_ts": STAMP + 60},
    "timestamp": STAMP,
}


def shadow(document: dict[str, Any], **changes: Any) -> Shadow:
    fields: dict[str, Any] = {"ven_id": "ven-1", "timestamp": MEASURED, "received_at": RECEIVED, "document": document}
    return Shadow(**fields | changes)


def test_contract_document_is_stored_as_sent() -> None:
    document = {"state": {"reported": REPORTED}}
    assert record_of(Kind.SHADOW, TOPIC, document) == shadow(document)


@pytest.mark.parametrize(
    "reported",
    [{}, {"active_event": None}, {"circuits": [None, 5]}, {"timestamp": None}, {"timestamp": "soon"}, {"ts": []}],
)
def test_document_without_readable_time_is_stored(reported: dict[str, Any]) -> None:
    document = {"state": {"reported": reported, "desired": {"x": 1}}, "version": 7}
    assert record_of(Kind.SHADOW, TOPIC, document) == shadow(document, timestamp=None)


def test_thing_name_is_the_ven_id() -> None:
    document = {"state": {"reported": {"venId": "another"}}, "venId": "another"}
    assert record_of(Kind.SHADOW, TOPIC, document).ven_id == "ven-1"


def test_nul_is_replaced() -> None:
    found = record_of(Kind.SHADOW, TOPIC, {"state": {"reported": {"a\0": "b\0"}}})
    assert found.document == {"state": {"reported": {"a\ufffd": "b\ufffd"}}}


@pytest.mark.parametrize(
    "ending",
    [
        *("get", "get/accepted", "get/rejected", "update/accepted", "update/rejected", "update/delta"),
        *("update/documents", "delete", "delete/accepted", "name/other/update", "name/other/get", ""),
    ],
)
@pytest.mark.parametrize("payload", [b"", b"not json", b'{"state":{"reported":{}}}', b'{"state":{"loads":[]}}'])
def test_other_shadow_topics_are_not_stored(ending: str, payload: bytes) -> None:
    assert outcome_of(Kind.SHADOW, f"$aws/things/ven-1/shadow/{ending}", payload) is None


@pytest.mark.parametrize("state", [{}, {"desired": {"loads": []}}, {"reported": None}])
def test_document_without_report_is_not_stored(state: Any) -> None:
    assert outcome_of(Kind.SHADOW, TOPIC, {"state": state}) is None


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b" ", Reason.EMPTY),
        (b"{", Reason.NOT_JSON),
        ([], Reason.NOT_OBJECT),
        ({}, Reason.MISSING_VALUE),
        ({"state": None}, Reason.MISSING_VALUE),
        ({"state": []}, Reason.BAD_VALUE),
        ({"state": {"reported": 5}}, Reason.BAD_VALUE),
        ({"state": {"reported": {"x": nested(33)}}}, Reason.TOO_DEEP),
    ],
)
def test_bad_document_is_rejected_with_its_reason(document: Any, reason: Reason) -> None:
    assert reason_of(Kind.SHADOW, TOPIC, document) is reason


@pytest.mark.parametrize("thing", ["", "a\n", "v" * 129])
def test_thing_name_that_is_no_ven_id_is_rejected(thing: str) -> None:
    document = {"state": {"reported": REPORTED}}
    assert reason_of(Kind.SHADOW, f"$aws/things/{thing}/shadow/update", document) is Reason.BAD_ID
