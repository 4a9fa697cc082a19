"""Parses a payload of any kind: a canonical record, a rejection, or nothing to store. It never raises."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import check_sender
from schemas.parsing.acks import parse_ack
from schemas.parsing.arrays import join, split
from schemas.parsing.common import MAX_DEPTH, trim
from schemas.parsing.loads import MAX_REJECTED
from schemas.parsing.metering import parse_metering
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import parse_shadow
from schemas.parsing.snapshots import parse_snapshot
from schemas.parsing.status import parse_status
from schemas.parsing.vtn_messages import parse_vtn_message

Parser = Callable[[bytes, Source], Parsed | None]

PARSERS: Mapping[Kind, Parser] = {
    Kind.METERING: parse_metering,
    Kind.LOADS: parse_snapshot,
    Kind.STATUS: parse_status,
    Kind.ACKS: parse_ack,
    Kind.SHADOW: parse_shadow,
    Kind.EVENTS: partial(parse_vtn_message, Kind.EVENTS),
    Kind.RESPONSES: partial(parse_vtn_message, Kind.RESPONSES),
}
"""Payloads of other kinds stay in their raw topic only."""

_ARRAY_KINDS = frozenset({Kind.METERING, Kind.LOADS})


_BRACES = b"{}"


def parse_message(kind: Kind, payload: bytes, source: Source) -> Iterator[tuple[bytes, Parsed | Rejection | None]]:
    """Parse a payload and yield it with its outcome; of an array of samples, yield each entry with its own outcome.

    Rejected entries beyond `MAX_REJECTED` are yielded together, as one array with one rejection.
    """
    entries = split(payload) if kind in _ARRAY_KINDS else None
    if entries is None:
        yield payload, parse(kind, payload, source)
        return
    rejected: list[tuple[bytes, Rejection]] = []
    for number, entry in enumerate(entries):
        outcome = parse(kind, entry, source)
        if isinstance(outcome, Rejection):
            rejected.append((entry, Rejection(outcome.reason, f"entry {number}: {outcome.detail}")))
        else:
            yield entry, outcome
    yield from rejected[:MAX_REJECTED]
    if rest := rejected[MAX_REJECTED:]:
        first = rest[0][1]
        detail = f"{len(rest)} entries; the first is {first.detail}"
        yield join(entry for entry, _ in rest), Rejection(first.reason, detail)


def parse(kind: Kind, payload: bytes, source: Source) -> Parsed | Rejection | None:
    """Parse a payload; None means that there is nothing to store, which is not an error."""
    parser = PARSERS.get(kind)
    # A retained message is deleted by an empty payload, which subscribers receive too.
    if parser is None or not payload:
        return None
    if payload[:1] + payload[-1:] != _BRACES:
        payload = trim(payload)
    try:
        parsed = parser(payload, source)
        if parsed is not None:
            check_sender(kind, source.topic, parsed.record.ven_id)
    except RejectedError as error:
        return error.rejection
    except RecursionError:
        return Rejection(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    return _with_publish_time(parsed, source) if parsed is not None and source.retained else parsed


def _with_publish_time(parsed: Parsed, source: Source) -> Parsed:
    """Use the event time of a retained message as its receive time: it does not show that the VEN is online now."""
    measured_at = parsed.record.timestamp
    if measured_at is not None and measured_at < source.received_at:
        return parsed._replace(record=msgspec.structs.replace(parsed.record, received_at=measured_at))
    return parsed
