"""What VENs say of themselves, and their last wills."""

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


def said(word: str, **changes: Any) -> VenStatus:
    fields: dict[str, Any] = {"ven_id": "ven-1", "received_at": RECEIVED, "status": word}
    return VenStatus(**fields | changes)


def test_a_last_will_counts_by_its_arrival() -> None:
    assert status(WILL) == said(OFFLINE, timestamp=MEASURED)
    ancient = datetime(1970, 1, 1, tzinfo=UTC)
    assert status(WILL | {"ts": 0}) == said(OFFLINE, timestamp=ancient)
    assert status(WILL | {"ts": "soon"}) == said(OFFLINE, timestamp=None)


def test_a_retained_will_counts_from_when_it_was_made() -> None:
    assert status(WILL, retained=True) == said(OFFLINE, timestamp=MEASURED, received_at=MEASURED)


def test_a_message_that_names_no_ven_is_kept_for_the_record() -> None:
    record = status({"ven": "ready"})
    assert isinstance(record, VtnMessage)
    assert (record.kind, record.topic, record.ven_id) == ("status", TOPIC, None)
    assert record.timestamp == datetime(2024, 10, 23, tzinfo=UTC)
    assert record.document == {"ven": "ready"}


def test_a_retained_message_from_nobody_knows_when_is_kept_for_the_record() -> None:
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
    assert status(document) == said("ready")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ven": None}, Reason.MISSING_VALUE),
        ({"ven": ""}, Reason.MISSING_VALUE),
        ({"ven": 5}, Reason.BAD_VALUE),
        ({"ven": {}}, Reason.BAD_VALUE),
        ({"ven": "a\0"}, Reason.BAD_VALUE),
        ({"ven": "x" * 1025}, Reason.BAD_VALUE),
        ({"ven": "\u0130" * 1000}, Reason.BAD_VALUE),  # in small letters each is two characters
        ({"venId": 5}, Reason.BAD_ID),
        ({"venId": "a/b"}, Reason.BAD_ID),
    ],
)
def test_what_does_not_count_says_why(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(Kind.STATUS, TOPIC, WILL | changes) is reason


def test_a_retained_message_without_a_time_needs_an_id_that_can_be_one_too() -> None:
    assert reason_of(Kind.STATUS, TOPIC, {"ven": "offline", "venId": "a/b"}, retained=True) is Reason.BAD_ID


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"", Reason.EMPTY), (b"offline", Reason.NOT_JSON), (b'"offline"', Reason.NOT_OBJECT)]
)
def test_what_is_no_object_does_not_count(payload: bytes, reason: Reason) -> None:
    assert reason_of(Kind.STATUS, TOPIC, payload) is reason
