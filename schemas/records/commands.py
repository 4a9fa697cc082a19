"""A command on its way to a VEN, and what became of it: the records of ven.commands and ven.command-log."""

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any, Literal

import msgspec

from schemas.records.telemetry import AwareDatetime, VenId

DURATIONS = ("duration_s", "durationS", "duration_sec")
"""Every spelling under which devices read how long they are to shed."""


class CommandRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One command to be sent, the value of ven.commands; `payload` is what the VEN reads, but for its durations.

    It is sent before `expires_at` or not at all. `ends_at` is when what it asks for is over; its durations are counted
    to there when it is sent. `attempt` counts from 1: it goes up only where nothing shows that the one before arrived.
    `command_revision` is 2 where the event or its restore is sent to the VEN once more. Times are UTC.
    """

    correlation_id: str
    ven_id: VenId
    op: str
    payload: dict[str, Any]
    expires_at: AwareDatetime
    event_id: str | None = None
    ends_at: AwareDatetime | None = None
    attempt: int = 1
    command_revision: int = 1


DeliveryState = Literal["sending", "sent", "expired"]


class DeliveryEvidence(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What the bridge knows of a command, the value of ven.command-log under its correlation id.

    `sending` is written before the command goes out, `sent` once the MQTT broker has it, `expired` when it was too late
    to send it. `at` is UTC, by the bridge's clock; `reason` says how the bridge knows, where that is not plain.
    `expires_at` is the command's own: until then bridges have to remember what is known of it.
    """

    correlation_id: str
    ven_id: VenId
    attempt: int
    state: DeliveryState
    at: AwareDatetime
    reason: str | None = None
    expires_at: AwareDatetime | None = None


def seconds_left(ends_at: datetime, now: datetime) -> int:
    """Return whole seconds from `now` to an end, the last one counted whole; a device rather waits for its restore."""
    return ceil((ends_at - now).total_seconds())


def payload_to_send(command: CommandRecord, now: datetime) -> dict[str, Any] | None:
    """Return what to publish at `now`, its durations in whole seconds that are left, at least 1; None when too late.

    A duration is never 0 or null, for devices take either for an hour.
    """
    if now >= command.expires_at:
        return None
    if command.ends_at is None:
        return command.payload
    left = seconds_left(command.ends_at, now)
    if left < 1:
        return None
    payload = _counted_to(command.payload, left)
    data = payload.get("data")
    return payload | {"data": _counted_to(data, left)} if isinstance(data, Mapping) else payload


def _counted_to(given: Mapping[str, Any], left: int) -> dict[str, Any]:
    return {name: left if name in DURATIONS else value for name, value in given.items()}


decode_command_record = msgspec.json.Decoder(CommandRecord).decode
decode_delivery_evidence = msgspec.json.Decoder(DeliveryEvidence).decode
