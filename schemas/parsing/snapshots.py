"""Parses load snapshots: all loads of a VEN at one time, without its metering."""

from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import parse_ven_id
from schemas.parsing.common import convert_fields, decode_object, time_of
from schemas.parsing.loads import parse_lists
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import LoadSnapshot, Quantity


class SnapshotFields(msgspec.Struct, frozen=True):
    loads: list[Any] | None = None
    circuits: list[Any] | None = None
    panelVoltage: Quantity | None = None
    panel_voltage: Quantity | None = None


_SPELLINGS = (("loads", "circuits"), ("panelVoltage", "panel_voltage"))


def parse_snapshot(payload: bytes, source: Source) -> Parsed:
    """Parse a load snapshot; a bad entry is left out with a rejection of its own.

    Raises:
        RejectedError: the snapshot is rejected.
    """
    document = decode_object(payload)
    ven_id, timestamp = parse_ven_id(Kind.LOADS, source.topic, document), time_of(document)
    wire = convert_fields(document, SnapshotFields, _SPELLINGS, Reason.BAD_VALUE)
    rejected: list[Rejection] = []
    voltage = wire.panel_voltage if wire.panelVoltage is None else wire.panelVoltage
    loads = parse_lists(wire.loads, wire.circuits, voltage, rejected)
    if loads is None:
        raise RejectedError(Reason.MISSING_VALUE, "loads (or circuits) is missing")
    return Parsed(
        LoadSnapshot(ven_id=ven_id, timestamp=timestamp, received_at=source.received_at, loads=loads), rejected
    )
