"""Events of other VTNs, and responses to them, are stored for the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.parsing.vtn_messages import VtnMessage, begin_of_day
from tests.unit.near_misses import TAME_JSON, shuffled
from tests.unit.samples import MEASURED, RECEIVED, STAMP, reason_of, record_of

EVENTS, RESPONSES = "openadr/event", "openadr/response"
DAY = datetime(2024, 10, 23, tzinfo=UTC)


def event(document: Any) -> VtnMessage:
    record = record_of(Kind.EVENTS, EVENTS, document)
    assert isinstance(record, VtnMessage)
    return record


def test_contract_response_is_parsed() -> None:
    document = {"ven_id": "ven-1", "response": "ack"}
    record = record_of(Kind.RESPONSES, RESPONSES, document)
    assert record == VtnMessage(
        kind="responses",
        topic=RESPONSES,
        ven_id="ven-1",
        timestamp=DAY,
        received_at=RECEIVED,
        digest=record.digest,
        document=document,
    )


@pytest.mark.parametrize("time", [{"timestamp": STAMP}, {"ts": STAMP * 1000}, {"timestamp": STAMP, "ts": "wrong"}])
def test_event_has_its_own_time(time: dict[str, Any]) -> None:
    document = {"event_id": "evt-7", "start": 5, "signals": [{"level": 1}]} | time
    record = event(document)
    assert (record.kind, record.ven_id, record.timestamp, record.document) == ("events", None, MEASURED, document)


@pytest.mark.parametrize("document", [{}, {"timestamp": "soon"}, {"ts": None}, {"timestamp": {}}])
def test_message_without_time_has_its_receive_day(document: dict[str, Any]) -> None:
    assert event(document).timestamp == DAY


@pytest.mark.parametrize("ven_id", [None, 5, "a/b", "", "v" * 129])
def test_bad_ven_id_counts_as_absent(ven_id: Any) -> None:
    assert event({"venId": ven_id}).ven_id is None


def test_repeated_message_of_one_day_has_one_identity() -> None:
    def identity(received_at: datetime, topic: str = EVENTS, payload: bytes = b'{"a":1,"b":2}') -> Any:
        outcome = parse(Kind.EVENTS, payload, Source(topic, received_at))
        assert isinstance(outcome, Parsed)
        return outcome.record.timestamp, outcome.record.kind, outcome.record.digest

    first = identity(RECEIVED)
    assert identity(DAY) == identity(DAY + timedelta(hours=23), payload=b' {"b":2, "a":1}') == first
    others = [
        identity(DAY + timedelta(days=1)),
        identity(RECEIVED, "openadr/event/2"),
        identity(RECEIVED, payload=b"{}"),
    ]
    assert first not in others


@given(st.data(), st.dictionaries(st.sampled_from(["a", "b", "venId", "timestamp"]), TAME_JSON))
def test_digest_is_independent_of_key_order(data: st.DataObject, document: dict[str, Any]) -> None:
    assume("\\x00" not in ascii(document))  # without its NUL one key may become another
    assert event(shuffled(data, document)) == event(document)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - by `timezones`
def test_day_starts_at_midnight_utc(moment: datetime) -> None:
    begin = begin_of_day(moment)
    assert begin <= moment < begin + timedelta(days=1)
    assert (begin.hour, begin.minute, begin.utcoffset()) == (0, 0, timedelta(0))


def test_nul_is_replaced() -> None:
    record = record_of(Kind.EVENTS, "openadr/\0", {"a\0": ["\0"]})
    assert (record.topic, record.document) == ("openadr/\ufffd", {"a\ufffd": ["\ufffd"]})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b" ", Reason.EMPTY),
        (b"<xml/>", Reason.NOT_JSON),
        (b"[]", Reason.NOT_OBJECT),
        (b'{"a":1e999}', Reason.BAD_VALUE),
    ],
)
def test_payload_that_is_no_object_is_rejected(payload: bytes, reason: Reason) -> None:
    assert reason_of(Kind.EVENTS, EVENTS, payload) is reason
    assert reason_of(Kind.RESPONSES, RESPONSES, payload) is reason
