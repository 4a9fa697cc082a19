"""Arrays of samples: each entry is parsed on its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind
from schemas.parsing.loads import MAX_REJECTED
from schemas.parsing.registry import parse, parse_message
from schemas.parsing.result import Parsed, Source
from tests.unit.near_misses import GOOD, TAME_JSON
from tests.unit.samples import RECEIVED, STAMP

SHARED = Source("volttron/metering", RECEIVED)
OWN = Source("ven/telemetry/ven-1", RECEIVED)
SAMPLES = [document for kind, _, document in GOOD if kind is Kind.METERING]


def entries(payload: bytes, source: Source = SHARED, kind: Kind = Kind.METERING) -> list[Any]:
    return list(parse_message(kind, payload, source))


def outcomes(document: Any, source: Source = SHARED, kind: Kind = Kind.METERING) -> list[Any]:
    """Return the records of entries, and the reasons of rejected ones."""
    found = [outcome for _, outcome in entries(json.dumps(document).encode(), source, kind)]
    return [outcome.record if isinstance(outcome, Parsed) else outcome.reason for outcome in found]


def sample(ven_id: str, **fields: Any) -> dict[str, Any]:
    return {"venId": ven_id, "timestamp": STAMP, "usedPowerKw": 1.5} | fields


def test_each_entry_is_the_reading_of_its_ven() -> None:
    records = outcomes([sample("ven-1"), sample("ven-2", ts=1), sample("ven-1", timestamp=STAMP + 5)])
    assert [(record.ven_id, record.timestamp.timestamp()) for record in records] == [
        ("ven-1", STAMP),
        ("ven-2", STAMP),
        ("ven-1", STAMP + 5),
    ]


def test_bad_entry_is_rejected_alone_with_its_own_bytes() -> None:
    good, bad = json.dumps(sample("ven-1")).encode(), b'{"venId" : "ven-2"}'
    found = entries(b"\xef\xbb\xbf [" + good + b", " + bad + b",5]\n\0")
    assert [payload for payload, _ in found] == [good, bad, b"5"]
    assert found[1][1].reason is Reason.MISSING_TIME
    assert found[1][1].detail.startswith("entry 1: ")
    assert found[2][1].reason is Reason.NOT_OBJECT


def test_topic_of_a_ven_owns_all_entries() -> None:
    records = outcomes([sample("ven-1"), {"ts": STAMP + 5}, sample("ven-2")], OWN)
    assert [getattr(record, "ven_id", record) for record in records] == ["ven-1", "ven-1", Reason.ID_MISMATCH]


def test_load_snapshots_may_be_an_array() -> None:
    snapshot = {"timestamp": STAMP, "loads": [{"id": "a"}]}
    records = outcomes(
        [snapshot, snapshot | {"timestamp": STAMP + 30}], Source("ven/loads/ven-1", RECEIVED), Kind.LOADS
    )
    assert [record.timestamp.timestamp() for record in records] == [STAMP, STAMP + 30]


def test_empty_array_is_not_stored() -> None:
    assert outcomes([]) == []


@pytest.mark.parametrize("payload", [b'[{"venId":"a"', b"[1,]", b"[" * 100_000, b"[{}] []"])
def test_damaged_array_is_rejected_as_a_whole(payload: bytes) -> None:
    ((kept, outcome),) = entries(payload)
    assert kept == payload
    assert outcome.reason in {Reason.NOT_JSON, Reason.TOO_DEEP}


def test_array_of_another_kind_is_rejected_as_a_whole() -> None:
    assert outcomes([{"op": "ping", "ok": True}], Source("ven/ack/ven-1", RECEIVED), Kind.ACKS) == [Reason.NOT_OBJECT]


def test_many_bad_entries_share_one_rejection() -> None:
    payload = b"[" + b",".join([b"1"] * 60_000) + b"]"
    found = entries(payload)
    assert len(found) == MAX_REJECTED + 1
    rest, outcome = found[-1]
    assert json.loads(rest) == [1] * (60_000 - MAX_REJECTED)
    assert "entry 20" in outcome.detail


@given(st.lists(st.sampled_from(SAMPLES) | TAME_JSON, max_size=30))
def test_array_gives_what_its_entries_give_alone(documents: list[Any]) -> None:
    alone = [parse(Kind.METERING, json.dumps(document).encode(), OWN) for document in documents]
    found = [outcome for _, outcome in entries(json.dumps(documents).encode(), OWN)]
    assert [one for one in found if isinstance(one, Parsed)] == [one for one in alone if isinstance(one, Parsed)]
    bad = sum(isinstance(one, Rejection) for one in alone)
    assert sum(isinstance(one, Rejection) for one in found) == min(bad, MAX_REJECTED + 1)
