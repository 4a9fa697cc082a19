"""Parsers accept or reject any payload of any kind; accepted records can be encoded and stored."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack, Curtailment, decode_ack
from schemas.parsing.registry import PARSERS, parse
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import Shadow, decode_shadow
from schemas.parsing.status import VenStatus, decode_status
from schemas.parsing.vtn_messages import VtnMessage, decode_vtn_message
from schemas.records.telemetry import (
    MAX_MAGNITUDE,
    FaultReport,
    LoadSnapshot,
    Reading,
    decode_fault,
    decode_reading,
    decode_snapshot,
    encode_record,
)
from tests.unit.near_misses import GOOD, TAME_JSON, WILD_JSON, Message, near_misses, recorded, shuffled
from tests.unit.samples import RECEIVED

DECODERS: Mapping[type, Callable[[bytes], Any]] = {
    Reading: decode_reading,
    FaultReport: decode_fault,
    LoadSnapshot: decode_snapshot,
    Ack: decode_ack,
    VenStatus: decode_status,
    Shadow: decode_shadow,
    VtnMessage: decode_vtn_message,
}
UNBOUNDED = ("error", "topic", "document", "extra")  # bounded by the size of messages and topics only
MESSAGES = [*GOOD, *recorded("ven_enhanced.jsonl", "ven_local.jsonl")[::9]]
KINDS = st.sampled_from([(kind, topic) for kind, topic, _ in GOOD])
Outcome = Parsed | Rejection | None


def outcome_of(kind: Kind, topic: str, payload: bytes, *, retained: bool = False) -> Outcome:
    """Parse; check that accepted records survive encoding and fit their columns."""
    outcome = parse(kind, payload, Source(topic, RECEIVED, retained))
    rejections = [outcome] if isinstance(outcome, Rejection) else []
    if isinstance(outcome, Parsed):
        rejections.extend(outcome.rejected_loads)
        check_record(outcome.record)
        assert {rejection.reason for rejection in rejections} <= {Reason.BAD_LOAD}
    for rejection in rejections:
        assert rejection.detail
        assert "\0" not in rejection.detail.encode().decode()
    return outcome


def check_record(record: Any) -> None:
    encoded = encode_record(record)
    again = DECODERS[type(record)](encoded)
    assert again == record
    assert encode_record(again) == encoded
    for name, value in columns(record):
        if isinstance(value, datetime):
            assert value.utcoffset() == timedelta(0)
        elif isinstance(value, str):
            assert name in UNBOUNDED or len(value) <= 1024
        elif isinstance(value, float):
            assert math.isfinite(value)
            assert abs(value) <= MAX_MAGNITUDE
        elif isinstance(value, int):
            assert abs(value) < 2 ** (31 if name == "priority" else 63)
    assert "\0" not in "".join(texts(msgspec.to_builtins(record)))
    for circuit in getattr(record, "circuits", ()):
        check_powers(circuit)


def check_powers(circuit: Curtailment) -> None:
    """Original and final power are both known, or neither is."""
    assert (circuit.original_kw is None) == (circuit.final_kw is None)
    assert circuit.final_kw is None or circuit.final_kw >= 0
    assert circuit.id
    assert circuit.name


def columns(record: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        yield name, value
        for entry in value if isinstance(value, tuple) else ():
            yield from columns(entry)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for item in pair for text in texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in texts(item))


def alike(outcome: Outcome) -> Any:
    """Return what must be equal; details of rejections may differ."""
    if isinstance(outcome, Parsed):
        return outcome.record, [rejection.reason for rejection in outcome.rejected_loads]
    return outcome and outcome.reason


@given(KINDS, st.binary(max_size=60))
def test_any_bytes_are_parsed_or_rejected(kind_and_topic: tuple[Kind, str], payload: bytes) -> None:
    # By chance, the payload may be an object.
    assert isinstance(outcome_of(*kind_and_topic, payload), Rejection) or b":" in payload or not payload


@given(KINDS, WILD_JSON)
def test_any_json_is_parsed_or_rejected(kind_and_topic: tuple[Kind, str], document: Any) -> None:
    outcome_of(*kind_and_topic, json.dumps(document).encode())


@given(near_misses(MESSAGES, WILD_JSON))
def test_any_near_miss_is_parsed_or_rejected(message: Message) -> None:
    kind, topic, document = message
    outcome_of(kind, topic, json.dumps(document).encode())


@given(near_misses(list(GOOD), TAME_JSON), st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_damaged_message_is_parsed_or_rejected(message: Message, at: int, spoiled: bytes) -> None:
    kind, topic, document = message
    payload = json.dumps(document, ensure_ascii=False).encode()
    outcome_of(kind, topic, payload[:at] + spoiled + payload[at + len(spoiled) :])
    outcome_of(kind, topic, payload[:at])


@given(st.text(st.characters(codec="utf-8"), max_size=8), near_misses(list(GOOD), TAME_JSON))
def test_any_topic_is_parsed_or_rejected(level: str, message: Message) -> None:
    kind, topic, document = message
    for odd in (level, topic.replace("ven-1", level), topic + level):
        outcome_of(kind, odd, json.dumps(document).encode())


@given(st.data(), near_misses(MESSAGES, TAME_JSON))
def test_order_of_keys_does_not_matter(data: st.DataObject, message: Message) -> None:
    kind, topic, document = message
    payload = json.dumps(document)
    assume("\\u0000" not in payload)  # without its NUL one key may become another
    other = json.dumps(shuffled(data, document))
    assert alike(outcome_of(kind, topic, other.encode())) == alike(outcome_of(kind, topic, payload.encode()))


@given(near_misses(list(GOOD), TAME_JSON), TAME_JSON)
def test_last_of_repeated_keys_wins(message: Message, other: Any) -> None:
    kind, topic, document = message
    again = dict.fromkeys(list(document)[:2], other)
    assume(again)
    twice = json.dumps(document)[:-1] + "," + json.dumps(again)[1:]
    assert outcome_of(kind, topic, twice.encode()) == outcome_of(kind, topic, json.dumps(document | again).encode())


@given(near_misses(MESSAGES, TAME_JSON))
def test_retained_message_differs_only_in_receive_time(message: Message) -> None:
    kind, topic, document = message
    payload = json.dumps(document).encode()
    live, retained = outcome_of(kind, topic, payload), outcome_of(kind, topic, payload, retained=True)
    if not isinstance(live, Parsed):
        assert retained == live
        return
    assert isinstance(retained, Parsed)
    if isinstance(live.record, VenStatus) and live.record.timestamp is None:
        assert isinstance(retained.record, VtnMessage)  # its publish time is unknown
        return
    measured_at = live.record.timestamp
    assert retained.record.received_at == (RECEIVED if measured_at is None else min(RECEIVED, measured_at))
    assert msgspec.structs.replace(retained.record, received_at=RECEIVED) == live.record
    assert retained.rejected_loads == live.rejected_loads


@given(near_misses([good for good in GOOD if good[1].startswith("ven/")], TAME_JSON))
def test_payload_of_another_ven_is_rejected_except_acks(message: Message) -> None:
    kind, topic, document = message
    payload = json.dumps(document).encode()
    names_itself = any(document.get(name) is not None for name in ("venId", "ven_id"))
    theirs = outcome_of(kind, topic.replace("ven-1", "ven-2"), payload)
    if isinstance(outcome_of(kind, topic, payload), Parsed) and names_itself and kind is not Kind.ACKS:
        assert isinstance(theirs, Rejection)
        assert theirs.reason is Reason.ID_MISMATCH
    elif isinstance(theirs, Parsed):
        assert theirs.record.ven_id == "ven-2"


@pytest.mark.parametrize("name", ["x", "venId", "ts", "data", "error", "circuits_curtailed", "loads", "state", "ven"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"id":', "}]")])
def test_any_nesting_is_parsed_or_rejected(name: str, opening: str, closing: str) -> None:
    for kind, topic, document in GOOD:
        payload = json.dumps(document | {name: "?"}).encode()
        for depth in (1, 32, 33, 300, *range(985, 1003, 3), 20_000):
            outcome_of(kind, topic, payload.replace(b'"?"', f"{opening * depth}1{closing * depth}".encode()))


@pytest.mark.parametrize(("kind", "topic", "document"), GOOD)
def test_good_message_is_parsed(kind: Kind, topic: str, document: Any) -> None:
    outcome = outcome_of(kind, topic, json.dumps(document).encode())
    assert isinstance(outcome, Parsed)
    assert not outcome.rejected_loads


def test_good_messages_cover_all_parsers() -> None:
    assert {kind for kind, _, _ in GOOD} == set(PARSERS) == set(Kind) - {Kind.OTHER}


def test_other_kinds_are_not_stored() -> None:
    assert outcome_of(Kind.OTHER, "elsewhere", b"whatever") is None
