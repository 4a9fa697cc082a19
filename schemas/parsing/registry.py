"""A payload of any kind becomes one canonical record, or one reason why not, or nothing; never an exception."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.mqtt.routing import Kind, ven_id_in_topic
from schemas.parsing.acks import parse_ack
from schemas.parsing.common import MAX_DEPTH
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
"""Payloads of other kinds are kept untouched in their raw topic, and nothing more."""


def parse(kind: Kind, payload: bytes, source: Source) -> Parsed | Rejection | None:
    """Parse a payload; None where there is nothing to store, which is no error."""
    parser = PARSERS.get(kind)
    if parser is None:
        return None
    try:
        parsed = parser(payload, source)
        if parsed is not None:
            _check_sender(kind, parsed.record, source)
    except RejectedError as error:
        return error.rejection
    except RecursionError:
        return Rejection(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    return _as_heard(parsed, source) if parsed is not None and source.retained else parsed


# Matching patterns costs more than all else here, and devices keep to their topics.
_sender = lru_cache(maxsize=100_000)(ven_id_in_topic)
_LONGEST_CACHED_TOPIC = 256


def _check_sender(kind: Kind, record: Any, source: Source) -> None:
    """Brokers let a VEN publish on its own topics only; a payload must not speak for another one."""
    find = _sender if len(source.topic) <= _LONGEST_CACHED_TOPIC else ven_id_in_topic
    sender = find(kind, source.topic)
    if sender is not None and record.ven_id not in (None, sender):
        raise RejectedError(Reason.ID_MISMATCH, f"the topic is of {sender!r}, the payload of {record.ven_id!r}")


def _as_heard(parsed: Parsed, source: Source) -> Parsed:
    """A retained message tells what a VEN said once, and not that it is there: it was heard when it measured."""
    said_at = parsed.record.timestamp
    if said_at is not None and said_at < source.received_at:
        return parsed._replace(record=msgspec.structs.replace(parsed.record, received_at=said_at))
    return parsed
