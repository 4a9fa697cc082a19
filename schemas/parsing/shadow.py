"""Parses device shadows (AWS IoT); the last document of each VEN is stored as it was sent."""

from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import ven_id_in_topic
from schemas.parsing.common import decode_object, optional_time_of, storable
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import AwareDatetime, VenId

# Devices publish to this topic. On the other shadow topics (get, delta, accepted, …) AWS repeats known documents.
_WRITTEN_BY_DEVICES = ["shadow", "update"]


class Shadow(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A document that a VEN reported; `timestamp` (UTC) is its event time, if it has a readable one."""

    ven_id: VenId
    timestamp: AwareDatetime | None = None
    received_at: AwareDatetime
    document: dict[str, Any]


def parse_shadow(payload: bytes, source: Source) -> Parsed | None:
    """Parse a shadow document; None if it is not a report of a device.

    Raises:
        RejectedError: the document is rejected.
    """
    levels = source.topic.split("/")
    if levels[0] == "$aws" and levels[3:] != _WRITTEN_BY_DEVICES:
        return None
    ven_id = ven_id_in_topic(Kind.SHADOW, source.topic)
    if ven_id is None:
        raise RejectedError(Reason.BAD_ID, "the thing name in the topic is not a VEN id")
    document = decode_object(payload)
    state = _object(document, "state")
    if state is None:
        raise RejectedError(Reason.MISSING_VALUE, "state is missing")
    reported = _object(state, "reported")
    if reported is None:
        return None  # a request to the device (desired), or a deleted shadow
    timestamp = optional_time_of(reported)
    return Parsed(
        Shadow(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, document=storable(document))
    )


def _object(parent: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = parent.get(name)
    if value is not None and not isinstance(value, dict):
        raise RejectedError(Reason.BAD_VALUE, f"{name} must be an object, not {type(value).__name__}")
    return value


decode_shadow = msgspec.json.Decoder(Shadow).decode
