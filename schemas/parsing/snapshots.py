"""Parses load snapshots: all loads of a VEN at one time, without its metering."""

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.parsing.common import decode_object, first_of, time_of, ven_id_of
from schemas.parsing.loads import parse_circuits, parse_loads
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import LoadSnapshot


def parse_snapshot(payload: bytes, source: Source) -> Parsed:
    """Parse a load snapshot; a bad entry is left out with a rejection of its own.

    Raises:
        RejectedError: the snapshot is rejected.
    """
    document = decode_object(payload)
    ven_id, timestamp = ven_id_of(document), time_of(document)
    entries = first_of(document, "loads", "circuits")
    if entries is None:
        raise RejectedError(Reason.MISSING_VALUE, "loads (or circuits) is missing")
    if not isinstance(entries, list):
        raise RejectedError(Reason.BAD_VALUE, f"loads must be a list, not {type(entries).__name__}")
    rejected: list[Rejection] = []
    if document.get("loads") is not None:
        loads = parse_loads(entries, rejected)
    else:
        loads = parse_circuits(entries, None, rejected)
    return Parsed(
        LoadSnapshot(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, loads=loads), rejected
    )
