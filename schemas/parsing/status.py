"""What VENs say of themselves on the status topic, their last will among it."""

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.routing import Kind
from schemas.parsing.common import decode_object, first_of, optional_time_of, short_text, ven_id_of
from schemas.parsing.result import Parsed, Source
from schemas.parsing.vtn_messages import notice
from schemas.records.telemetry import AwareDatetime, VenId

OFFLINE = "offline"


class VenStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One word of a VEN: `offline` is its last will, others are `ready` and what devices make up.

    It counts by `received_at`: the `timestamp` of a will was fixed when the device connected. Both are UTC.
    """

    ven_id: VenId
    timestamp: AwareDatetime | None = None
    received_at: AwareDatetime
    status: str


def parse_status(payload: bytes, source: Source) -> Parsed:
    """Parse one status message; of one that names no VEN, or is retained from nobody knows when, a notice is kept.

    Raises:
        RejectedError: it does not count.
    """
    document = decode_object(payload)
    said = first_of(document, "ven", "status")
    if said in (None, ""):
        raise RejectedError(Reason.MISSING_VALUE, "neither ven nor status is given")
    # In small letters first: some characters become two.
    status = short_text("status", said.lower() if isinstance(said, str) else said, Reason.BAD_VALUE)
    timestamp = optional_time_of(document)
    ven_id = None if first_of(document, "venId", "ven_id") is None else ven_id_of(document)
    if ven_id is None or (source.retained and timestamp is None):
        return Parsed(notice(Kind.STATUS, document, source))
    return Parsed(VenStatus(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, status=status))


decode_status = msgspec.json.Decoder(VenStatus).decode
