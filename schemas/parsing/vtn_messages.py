"""Parses VTN messages: events of another VTN and responses to them, which are stored for the record only."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.base.rejection import RejectedError
from schemas.mqtt.routing import Kind
from schemas.parsing.common import check_ven_id, decode_object, first_of, optional_time_of, storable
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import AwareDatetime, VenId


class VtnMessage(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One message for the record, identified by (timestamp, kind, digest); `ven_id` is None if it names no VEN.

    `timestamp` is the message's own time. Without one it is the start of the day (UTC) of its receive time, so that
    repeated messages are one row per day. `digest` is of the MQTT topic and the document.
    """

    kind: str
    topic: str
    ven_id: VenId | None = None
    timestamp: AwareDatetime
    received_at: AwareDatetime
    digest: str
    document: dict[str, Any]


def parse_vtn_message(kind: Kind, payload: bytes, source: Source) -> Parsed:
    """Parse a VTN message.

    Raises:
        RejectedError: the payload is not a JSON object.
    """
    return Parsed(vtn_message(kind, decode_object(payload), source))


def vtn_message(kind: Kind, document: Mapping[str, Any], source: Source) -> VtnMessage:
    """Build the record of a document.

    Raises:
        RejectedError: too_deep.
    """
    stored = storable(dict(document))
    content = msgspec.json.encode([source.topic, stored], order="sorted")
    return VtnMessage(
        kind=kind,
        topic=storable(source.topic),
        ven_id=_ven_id(document),
        timestamp=optional_time_of(document) or begin_of_day(source.received_at),
        received_at=source.received_at,
        digest=blake2b(content, digest_size=16).hexdigest(),
        document=stored,
    )


def begin_of_day(moment: datetime) -> datetime:
    """Return the start of the day (UTC) of a time."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def _ven_id(document: Mapping[str, Any]) -> str | None:
    try:
        return check_ven_id(first_of(document, "venId", "ven_id"))
    except RejectedError:
        return None


decode_vtn_message = msgspec.json.Decoder(VtnMessage).decode
