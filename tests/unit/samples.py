"""Builds messages from changes to good ones, and parses them."""

import json
from datetime import UTC, datetime
from typing import Any

from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.records.telemetry import FaultReport, Reading

STAMP = 1_729_700_000
MEASURED = datetime(2024, 10, 23, 16, 13, 20, tzinfo=UTC)
RECEIVED = datetime(2024, 10, 23, 16, 13, 21, 500_000, tzinfo=UTC)


def parse_metering(payload: bytes, received_at: datetime) -> Parsed | Rejection:
    outcome = parse(Kind.METERING, payload, Source("volttron/metering", received_at))
    assert outcome is not None
    return outcome


def sample(**changes: Any) -> bytes:
    """Return a good sample with changed or added fields; `...` removes a field."""
    fields = {"venId": "ven-001", "timestamp": STAMP} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def parsed(payload: bytes) -> Parsed:
    outcome = parse_metering(payload, RECEIVED)
    assert isinstance(outcome, Parsed), outcome
    return outcome


def reading(**changes: Any) -> Reading:
    """Return the reading of a sample without any rejection."""
    record, rejected = parsed(sample(**changes))
    assert isinstance(record, Reading)
    assert not rejected
    return record


def fault(**changes: Any) -> FaultReport:
    record, _ = parsed(sample(**changes))
    assert isinstance(record, FaultReport)
    return record


def refused(payload: bytes) -> Reason:
    """Return the reason why a sample is rejected."""
    outcome = parse_metering(payload, RECEIVED)
    assert isinstance(outcome, Rejection), outcome
    assert outcome.detail
    return outcome.reason


def outcome_of(kind: Kind, topic: str, document: Any, *, retained: bool = False) -> Parsed | Rejection | None:
    """Parse a message; bytes are the payload itself, other values become JSON."""
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(kind, payload, Source(topic, RECEIVED, retained))


def record_of(kind: Kind, topic: str, document: Any, *, retained: bool = False) -> Any:
    """Return the record of a message without any rejection."""
    outcome = outcome_of(kind, topic, document, retained=retained)
    assert isinstance(outcome, Parsed), outcome
    assert not outcome.rejected_loads
    return outcome.record


def reason_of(kind: Kind, topic: str, document: Any, *, retained: bool = False) -> Reason:
    """Return the reason why a message is rejected."""
    outcome = outcome_of(kind, topic, document, retained=retained)
    assert isinstance(outcome, Rejection), outcome
    assert outcome.detail
    return outcome.reason
