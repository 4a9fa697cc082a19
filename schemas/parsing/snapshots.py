"""Load snapshots: all circuits of a home at one time, apart from its metering."""

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.parsing.common import decode_object, first_of, time_of, ven_id_of
from schemas.parsing.loads import parse_circuits, parse_loads
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import LoadSnapshot


def parse_snapshot(payload: bytes, source: Source) -> Parsed:
    """Parse one load snapshot; a bad entry is left out with a rejection of its own.

    Raises:
        RejectedError: the snapshot does not count.
    """
    document = decode_object(payload)
    ven_id, timestamp = ven_id_of(document), time_of(document)
    entries = first_of(document, "loads", "circuits")
    if entries is None:
        raise RejectedError(Reason.MISSING_VALUE, "neither loads nor circuits is given")
    if not isinstance(entries, list):
        raise RejectedError(Reason.BAD_VALUE, f"the loads are a list, not {type(entries).__name__}")
    rejected: list[Rejection] = []
    if document.get("loads") is not None:
        loads = parse_loads(entries, rejected)
    else:
        loads = parse_circuits(entries, None, rejected)
    return Parsed(
        LoadSnapshot(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, loads=loads), rejected
    )
