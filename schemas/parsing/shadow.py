"""Device shadow documents (AWS IoT): the last one of each VEN is kept as it was sent."""

from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.routing import Kind, ven_id_in_topic
from schemas.parsing.common import decode_object, first_of, parse_time, storable
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import AwareDatetime, VenId

# What a device writes. Beside it the service itself speaks (get, delta, accepted, …), and says nothing new.
_WRITTEN_BY_DEVICES = ["shadow", "update"]


class Shadow(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The document that a VEN reported; `timestamp` is when it was measured, where it says so, UTC."""

    ven_id: VenId
    timestamp: AwareDatetime | None = None
    received_at: AwareDatetime
    document: dict[str, Any]


def parse_shadow(payload: bytes, source: Source) -> Parsed | None:
    """Parse one shadow document; None when it is not what a device reports.

    Raises:
        RejectedError: it does not count.
    """
    levels = source.topic.split("/")
    if levels[0] == "$aws" and levels[3:] != _WRITTEN_BY_DEVICES:
        return None
    ven_id = ven_id_in_topic(Kind.SHADOW, source.topic)
    if ven_id is None:
        raise RejectedError(Reason.BAD_ID, "the thing name in the topic is no VEN id")
    document = decode_object(payload)
    state = _object(document, "state")
    if state is None:
        raise RejectedError(Reason.MISSING_VALUE, "no state is given")
    reported = _object(state, "reported")
    if reported is None:
        return None  # somebody else's wish (desired), or a shadow that was emptied
    given = first_of(reported, "timestamp", "ts")
    timestamp = None if given is None else parse_time(given)
    return Parsed(
        Shadow(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, document=storable(document))
    )


def _object(parent: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = parent.get(name)
    if value is not None and not isinstance(value, dict):
        raise RejectedError(Reason.BAD_VALUE, f"{name} is an object, not {type(value).__name__}")
    return value


decode_shadow = msgspec.json.Decoder(Shadow).decode
