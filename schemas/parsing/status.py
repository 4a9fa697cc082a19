"""Parses status messages of VENs, including their last wills."""

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.routing import Kind
from schemas.parsing.common import decode_object, first_of, optional_time_of, short_text, ven_id_of
from schemas.parsing.result import Parsed, Source
from schemas.parsing.vtn_messages import vtn_message
from schemas.records.telemetry import AwareDatetime, VenId

OFFLINE = "offline"


class VenStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A status that a VEN reported: `offline` is its last will, others are `ready` and words of the device.

    It counts by `received_at`, because a will's `timestamp` is that of the connection. Both are UTC.
    """

    ven_id: VenId
    timestamp: AwareDatetime | None = None
    received_at: AwareDatetime
    status: str


def parse_status(payload: bytes, source: Source) -> Parsed:
    """Parse a status message; without a VEN, or retained without a time, it becomes a VtnMessage for the record.

    Raises:
        RejectedError: the message is rejected.
    """
    document = decode_object(payload)
    reported = first_of(document, "ven", "status")
    if reported in (None, ""):
        raise RejectedError(Reason.MISSING_VALUE, "ven (or status) is missing")
    # Lower case before the length check, because some characters become two.
    status = short_text("status", reported.lower() if isinstance(reported, str) else reported, Reason.BAD_VALUE)
    timestamp = optional_time_of(document)
    ven_id = None if first_of(document, "venId", "ven_id") is None else ven_id_of(document)
    if ven_id is None or (source.retained and timestamp is None):
        return Parsed(vtn_message(Kind.STATUS, document, source))
    return Parsed(VenStatus(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, status=status))


decode_status = msgspec.json.Decoder(VenStatus).decode
