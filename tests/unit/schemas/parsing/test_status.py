"""Status messages of VENs, including last wills."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.status import OFFLINE, VenStatus
from schemas.parsing.vtn_messages import VtnMessage
from tests.unit.samples import MEASURED, RECEIVED, STAMP, reason_of, record_of

TOPIC = "volttron/dev"
WILL = {"ven": "offline", "venId": "ven-1", "ts": STAMP}


def status(document: Any, *, retained: bool = False) -> Any:
    return record_of(Kind.STATUS, TOPIC, document, retained=retained)


def reported(word: str, **changes: Any) -> VenStatus:
    fields: dict[str, Any] = {"ven_id": "ven-1", "received_at": RECEIVED, "status": word}
    return VenStatus(**fields | changes)


def test_last_will_counts_by_its_receive_time() -> None:
    assert status(WILL) == reported(OFFLINE, timestamp=MEASURED)
    ancient = datetime(1970, 1, 1, tzinfo=UTC)
    assert status(WILL | {"ts": 0}) == reported(OFFLINE, timestamp=ancient)
    assert status(WILL | {"ts": "soon"}) == reported(OFFLINE, timestamp=None)


def test_retained_will_has_its_own_time() -> None:
    assert status(WILL, retained=True) == reported(OFFLINE, timestamp=MEASURED, received_at=MEASURED)


def test_message_without_ven_is_a_vtn_message() -> None:
    record = status({"ven": "ready"})
    assert isinstance(record, VtnMessage)
    assert (record.kind, record.topic, record.ven_id) == ("status", TOPIC, None)
    assert record.timestamp == datetime(2024, 10, 23, tzinfo=UTC)
    assert record.document == {"ven": "ready"}


def test_retained_message_without_time_is_a_vtn_message() -> None:
    record = status({"ven": "offline", "venId": "ven-1"}, retained=True)
    assert isinstance(record, VtnMessage)
    assert record.ven_id == "ven-1"


@pytest.mark.parametrize(
    "document",
    [
        {"ven": "ready", "venId": "ven-1"},
        {"ven": "Ready", "ven_id": "ven-1", "ts": None},
        {"status": "READY", "venId": "ven-1", "ven_id": 7},
        {"ven": "ready", "status": 5, "venId": "ven-1", "x": {}},
    ],
)
def test_every_spelling_is_the_same_status(document: Any) -> None:
    assert status(document) == reported("ready")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ven": None}, Reason.MISSING_VALUE),
        ({"ven": ""}, Reason.MISSING_VALUE),
        ({"ven": 5}, Reason.BAD_VALUE),
        ({"ven": {}}, Reason.BAD_VALUE),
        ({"ven": "a\0"}, Reason.BAD_VALUE),
        ({"ven": "x" * 1025}, Reason.BAD_VALUE),
        ({"ven": "\u0130" * 1000}, Reason.BAD_VALUE),  # in lower case each is two characters
        ({"venId": 5}, Reason.BAD_ID),
        ({"venId": "a/b"}, Reason.BAD_ID),
    ],
)
def test_bad_status_is_rejected_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(Kind.STATUS, TOPIC, WILL | changes) is reason


def test_retained_message_with_bad_id_is_rejected() -> None:
    assert reason_of(Kind.STATUS, TOPIC, {"ven": "offline", "venId": "a/b"}, retained=True) is Reason.BAD_ID


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"\0", Reason.EMPTY), (b"offline", Reason.NOT_JSON), (b'"offline"', Reason.NOT_OBJECT)]
)
def test_payload_that_is_no_object_is_rejected(payload: bytes, reason: Reason) -> None:
    assert reason_of(Kind.STATUS, TOPIC, payload) is reason
