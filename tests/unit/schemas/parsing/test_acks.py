"""Acks of both generations of devices become the same canonical record."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import MAX_INDEXED, MAX_OP, Ack
from schemas.parsing.common import MAX_ID_LENGTH
from tests.unit.near_misses import nested
from tests.unit.samples import MEASURED, RECEIVED, STAMP, reason_of, record_of

TOPIC = "ven/ack/ven-123"
PING = {"op": "ping", "status": "success", "ts": STAMP}
SPELLINGS = {
    "event_id": ("eventId", "event_id"),
    "requested_shed_kw": ("requestedShedKw", "requested_shed_kw"),
    "actual_shed_kw": ("actualShedKw", "actual_shed_kw"),
}
VALUES: dict[str, Any] = {"event_id": "evt-1", "requested_shed_kw": 5.0, "actual_shed_kw": 4.8}
CASES = [(field, spelling) for field, spellings in SPELLINGS.items() for spelling in spellings]


def ack(**changes: Any) -> Ack:
    """The record of a good ack with some fields changed or added; a change to `...` leaves the field out."""
    record = record_of(Kind.ACKS, TOPIC, {name: it for name, it in (PING | changes).items() if it is not ...})
    assert isinstance(record, Ack)
    return record


def reason_for(**changes: Any) -> Reason:
    return reason_of(Kind.ACKS, TOPIC, {name: it for name, it in (PING | changes).items() if it is not ...})


def plain(**fields: Any) -> Ack:
    known: dict[str, Any] = {"ven_id": "ven-123", "timestamp": MEASURED, "received_at": RECEIVED}
    return Ack(**known | fields)


def test_contract_ack_of_second_generation_is_parsed() -> None:
    data = {"limitKw": 1.0, "until": 1700000900}
    document = {"op": "shedLoad", "ok": True, "venId": "ven-123", "ts": 1700000000, "correlationId": "abc123"}
    assert record_of(Kind.ACKS, TOPIC, document | {"data": data}) == Ack(
        ven_id="ven-123",
        timestamp=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        received_at=RECEIVED,
        op="shedLoad",
        status="success",
        correlation_id="abc123",
        extra={"data": data},
    )


def test_op_and_status_are_enough() -> None:
    assert ack() == plain(op="ping", status="success")
    nulls = ("correlationId", "event_id", "requested_shed_kw", "circuits_curtailed", "error", "data", "ok", "venId")
    assert ack(**dict.fromkeys(nulls)) == ack()


def test_ack_without_time_has_its_receive_time() -> None:
    assert ack(ts=...).timestamp == ack(ts=None).timestamp == RECEIVED
    assert ack(timestamp="2024-10-23T16:13:20Z", ts="wrong").timestamp == MEASURED
    assert ack(ts=...).timed_by_arrival
    assert not ack().timed_by_arrival


@pytest.mark.parametrize("time", ["soon", True, [], 20261130])
def test_ack_with_unreadable_time_says_so(time: Any) -> None:
    found = ack(ts=time)
    assert (found.timestamp, found.timed_by_arrival, found.extra) == (RECEIVED, True, {"ts": time})


@pytest.mark.parametrize(
    ("given_fields", "status"),
    [
        ({"status": "accepted"}, "accepted"),
        ({"status": "refused", "ok": True}, "refused"),
        ({"ok": True}, "success"),
        ({"ok": False}, "failed"),
        ({"status": None, "ok": False}, "failed"),
        ({"status": "", "ok": True}, "success"),
        ({"status": "accepted", "ok": "yes"}, "accepted"),
        ({"status": "Accepted"}, "accepted"),
        ({"status": "OPT_OUT"}, "opt_out"),
    ],
)
def test_status_comes_from_the_field_or_from_ok(given_fields: dict[str, Any], status: str) -> None:
    assert ack(**{"status": ...} | given_fields).status == status


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"op": ...}, Reason.MISSING_VALUE),
        ({"op": ""}, Reason.MISSING_VALUE),
        ({"status": ...}, Reason.MISSING_VALUE),
        ({"status": "", "ok": None}, Reason.MISSING_VALUE),
        ({"status": ..., "ok": 1}, Reason.BAD_VALUE),
        ({"status": True}, Reason.BAD_VALUE),
        ({"op": 5}, Reason.BAD_VALUE),
        ({"op": "a\0"}, Reason.BAD_VALUE),
        ({"correlationId": 7}, Reason.BAD_VALUE),
        ({"correlationId": "a\0"}, Reason.BAD_VALUE),
        ({"actual_shed_kw": "4.8"}, Reason.BAD_VALUE),
        ({"actual_shed_kw": 1e300}, Reason.BAD_VALUE),
        ({"circuits_curtailed": {}}, Reason.BAD_VALUE),
        ({"data": {"event_id": 0}}, Reason.BAD_VALUE),
        ({"x": nested(33)}, Reason.TOO_DEEP),
        ({"error": nested(33)}, Reason.TOO_DEEP),
    ],
)
def test_bad_ack_is_rejected_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_for(**changes) is reason


@pytest.mark.parametrize(("field", "name"), CASES)
def test_each_spelling_fills_only_its_field(field: str, name: str) -> None:
    assert ack(**{name: VALUES[field]}) == plain(op="ping", status="success", **{field: VALUES[field]})


@pytest.mark.parametrize("field", SPELLINGS)
@pytest.mark.parametrize("wrong", [{}, [], True])
def test_modern_spelling_wins_over_any_old_one(field: str, wrong: Any) -> None:
    modern, old = SPELLINGS[field]
    assert ack(**{old: wrong, modern: VALUES[field]}) == ack(**{modern: VALUES[field]})
    assert ack(**{old: VALUES[field], modern: None}) == ack(**{modern: VALUES[field]})
    assert reason_for(**{old: VALUES[field], modern: wrong}) is Reason.BAD_VALUE


@pytest.mark.parametrize(("op", "known"), [("EVENT", "event"), ("shedload", "shedLoad"), ("Blink", "Blink")])
def test_op_is_known_in_upper_and_lower_case(op: str, known: str) -> None:
    assert ack(op=op).op == known


@pytest.mark.parametrize("error", [None, False, "", 0, {}, []])
def test_error_that_says_nothing_is_none(error: Any) -> None:
    assert ack(error=error).error is None


@pytest.mark.parametrize("field", ["venId", "ven_id"])
@pytest.mark.parametrize("other", ["ven-9", "a/b", 5])
def test_other_ven_id_in_the_payload_is_noted(field: str, other: Any) -> None:
    found = ack(**{field: other})
    assert (found.ven_id, found.extra) == ("ven-123", {field: other})


@pytest.mark.parametrize("data", [{"eventId": "evt-1"}, {"event_id": "evt-1"}, {"eventId": "evt-1", "event_id": 5}])
def test_event_id_may_be_inside_data(data: dict[str, Any]) -> None:
    assert ack(data=data).event_id == ack(data=data, event_id="").event_id == "evt-1"
    assert ack(data=data, event_id="evt-2").event_id == "evt-2"
    assert ack(data=data).extra == {"data": data}


@pytest.mark.parametrize("data", [None, {}, [], "evt-1", 5, {"eventId": ""}, {"event_id": None}])
def test_data_without_event_id_is_kept_as_extra(data: Any) -> None:
    assert ack(data=data).event_id is None
    assert ack(data=data).extra == (None if data is None else {"data": data})


def test_error_is_kept_as_text() -> None:
    assert ack(status=..., ok=False, error="no such load\0").error == "no such load\ufffd"
    assert ack(error={"code": [7, "a\0"]}).error == '{"code":[7,"a\ufffd"]}'


def test_unknown_fields_are_kept_as_extra() -> None:
    assert ack(pong=True, schemaVersion="1.0", note="a\0").extra == {"pong": True, "note": "a\ufffd"}


def test_ven_id_comes_from_the_topic() -> None:
    assert ack(venId="ven-123") == ack(ven_id="ven-123") == ack()
    assert reason_of(Kind.ACKS, "ven/ack/", PING) is Reason.MISSING_ID
    assert record_of(Kind.ACKS, "elsewhere/", PING | {"venId": "ven-123"}) == ack()
    assert reason_of(Kind.ACKS, "elsewhere/", PING | {"venId": "a/b"}) is Reason.BAD_ID


def test_longest_key_and_ids_fit_an_index() -> None:
    # PostgreSQL takes 2704 bytes; time, lengths and padding are below 100.
    assert 4 * (MAX_ID_LENGTH + MAX_OP + MAX_INDEXED) + 100 < 2704
    longest = {"op": MAX_OP, "correlationId": MAX_INDEXED, "event_id": MAX_INDEXED, "status": MAX_INDEXED}
    for name, most in longest.items():
        assert ack(**{name: "\N{GRINNING FACE}" * most})
        assert reason_for(**{name: "x" * (most + 1)}) is Reason.BAD_VALUE


@given(st.data())
def test_any_mixture_of_spellings_is_the_same_record(data: st.DataObject) -> None:
    mixed: dict[str, Any] = {}
    for field, spellings in SPELLINGS.items():
        mixed |= dict.fromkeys(data.draw(st.lists(st.sampled_from(spellings), min_size=1, unique=True)), VALUES[field])
    mixed |= {"ts": ..., data.draw(st.sampled_from(["timestamp", "ts"])): STAMP}
    if data.draw(st.booleans()):
        mixed |= {"status": ..., "ok": True}
    assert ack(**mixed) == plain(op="ping", status="success", **VALUES)
