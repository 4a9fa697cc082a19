"""The records of ven.commands and ven.command-log: commands to send, and the evidence of their delivery."""

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any, Literal

import msgspec

from schemas.records.telemetry import AwareDatetime, VenId

DURATIONS = ("duration_s", "durationS", "duration_sec")
"""All spellings of the duration that devices read, in seconds."""


class CommandRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One command to send, the value of ven.commands; `payload` is what the VEN receives, except for its durations.

    It is sent before `expires_at` or not at all. `ends_at` is the end of the requested shed; when the command is sent,
    its durations become the time that is left until then. `attempt` counts from 1; there is another attempt only if
    evidence shows that the one before did not arrive. `command_revision` is 2 for a reissued command. Times are UTC.
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
    """What the bridge knows about a command, the value of ven.command-log; the key is the correlation id.

    `sending` is written before the command is published, `sent` once the MQTT broker has it, `expired` if it was too
    late to send it. `at` is UTC, by the bridge's clock; `reason` explains the state where it is not obvious.
    `expires_at` is that of the command: bridges keep the evidence until then.
    """

    correlation_id: str
    ven_id: VenId
    attempt: int
    state: DeliveryState
    at: AwareDatetime
    reason: str | None = None
    expires_at: AwareDatetime | None = None


def seconds_left(ends_at: datetime, now: datetime) -> int:
    """Return the seconds from `now` to an end, rounded up: a device should not end before its restore arrives."""
    return ceil((ends_at - now).total_seconds())


def payload_to_send(command: CommandRecord, now: datetime) -> dict[str, Any] | None:
    """Return the payload to publish at `now`, its durations in whole seconds, at least 1; None if it is too late.

    A duration is never 0 or null, because devices read both as one hour.
    """
    if now >= command.expires_at:
        return None
    if command.ends_at is None:
        return command.payload
    left = seconds_left(command.ends_at, now)
    if left < 1:
        return None
    payload = _with_duration(command.payload, left)
    data = payload.get("data")
    return payload | {"data": _with_duration(data, left)} if isinstance(data, Mapping) else payload


def _with_duration(fields: Mapping[str, Any], left: int) -> dict[str, Any]:
    return {name: left if name in DURATIONS else value for name, value in fields.items()}


decode_command_record = msgspec.json.Decoder(CommandRecord).decode
decode_delivery_evidence = msgspec.json.Decoder(DeliveryEvidence).decode
