"""The send policy: whether the bridge sends, skips or expires each command of a batch. No I/O."""

from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from bridge.downlink.command_index import CommandStatus
from schemas.dr.commands import EVENT, RESTORE
from schemas.parsing.common import MAX_PAYLOAD_BYTES
from schemas.records.commands import CommandRecord, payload_to_send

LATE = "late"
WITHDRAWN = "withdrawn"


class SendPlan(NamedTuple):
    """The commands to send, in order, and those that expire, with the reason; commands in neither are skipped."""

    to_send: list[CommandRecord]
    expired: list[tuple[CommandRecord, str]]


def plan_sends(
    batch: Sequence[CommandRecord], status_of: Callable[[str], CommandStatus | None], now: datetime
) -> SendPlan:
    """Decide for each command of a batch; `status_of` returns what the command index has of a correlation id.

    If the batch contains an event's command and its restore, neither is sent: the device would shed for a moment, and
    the restore would end another active shed.
    """
    new: dict[str, CommandRecord] = {}
    for command in batch:
        if command.correlation_id not in new and _is_new(command, status_of(command.correlation_id)):
            new[command.correlation_id] = command
    withdrawn = _withdrawn(batch, new)
    plan = SendPlan([], [])
    for command in new.values():
        reason = WITHDRAWN if command.correlation_id in withdrawn else _expiry_reason(command, now)
        if reason is None:
            plan.to_send.append(command)
        else:
            plan.expired.append((command, reason))
    return plan


def payload_at(command: CommandRecord, now: datetime) -> bytes | None:
    """Return the MQTT payload to send at `now`; None if the command has expired."""
    payload = payload_to_send(command, now)
    return None if payload is None else msgspec.json.encode(payload)


def _expiry_reason(command: CommandRecord, now: datetime) -> str | None:
    payload = payload_at(command, now)
    if payload is None:
        return LATE
    if len(payload) > MAX_PAYLOAD_BYTES:
        return f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} can be sent"
    return None


def _is_new(command: CommandRecord, status: CommandStatus | None) -> bool:
    return status is None or (status.state != "sent" and command.attempt > status.attempt)


def _withdrawn(batch: Sequence[CommandRecord], new: Container[str]) -> set[str]:
    """The correlation ids of event commands whose restore follows in the batch, and of restores that end nothing."""
    pending: dict[tuple[str | None, str], list[CommandRecord]] = {}
    withdrawn: set[str] = set()
    for command in batch:
        participation = (command.event_id, command.ven_id)
        if command.op == EVENT and command.event_id is not None:
            pending.setdefault(participation, []).append(command)
        elif command.op == RESTORE and participation in pending:
            events = pending.pop(participation)
            withdrawn.update(each.correlation_id for each in events if each.correlation_id in new)
            # An earlier attempt or revision may have been sent: then the restore has to go out.
            if all(each.attempt == each.command_revision == 1 and each.correlation_id in new for each in events):
                withdrawn.add(command.correlation_id)
    return withdrawn
