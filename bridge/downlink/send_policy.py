"""What becomes of each command that was fetched: sent, left alone, or too late. No I/O."""

from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from bridge.downlink.command_index import CommandStatus
from schemas.base.rejection import Reason, RejectedError
from schemas.dr.commands import EVENT, RESTORE
from schemas.mqtt.filters import check_filter
from schemas.parsing.common import MAX_PAYLOAD_BYTES, MAX_TEXT, check_ven_id
from schemas.records.commands import CommandRecord, payload_to_send

COMMAND_TOPIC = "ven/cmd/"
LATE = "late"
WITHDRAWN = "withdrawn"

_MOST_ATTEMPTS = 2**31 - 1


class Decisions(NamedTuple):
    """Commands to be sent, in their order, and those that are not, with the reason; others are known already."""

    to_send: list[CommandRecord]
    expired: list[tuple[CommandRecord, str]]


def read_command(value: bytes) -> CommandRecord:
    """Decode a record of ven.commands.

    Raises:
        RejectedError: it is none, or names what cannot be sent to; others may write there too.
    """
    if not value:
        raise RejectedError(Reason.EMPTY, "the record is empty")
    try:
        command = _decode(value)
    except msgspec.ValidationError as error:
        raise RejectedError(Reason.BAD_VALUE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedError(Reason.NOT_JSON, str(error)) from None
    except RecursionError:
        raise RejectedError(Reason.TOO_DEEP, "nested too deep") from None
    check_ven_id(command.ven_id)
    try:
        # Brokers close the connection over a topic that is none.
        check_filter(COMMAND_TOPIC + command.ven_id)
    except ValueError as error:
        raise RejectedError(Reason.BAD_ID, str(error)) from None
    if not 1 <= len(command.correlation_id) <= MAX_TEXT or not command.correlation_id.isprintable():
        raise RejectedError(Reason.BAD_VALUE, f"correlationId has 1 to {MAX_TEXT} characters that can be printed")
    if not 1 <= command.attempt <= _MOST_ATTEMPTS:
        raise RejectedError(Reason.BAD_VALUE, f"attempt counts from 1, not {command.attempt}")
    return command


def decide(batch: Sequence[CommandRecord], known_of: Callable[[str], CommandStatus | None], now: datetime) -> Decisions:
    """Tell what becomes of each command of a batch, given what is known of it.

    An event that is withdrawn before the VEN was told of it is not sent, and neither is its end: the device would shed
    for a moment, and the end would end whatever else is active there.
    """
    fresh: dict[str, CommandRecord] = {}
    for command in batch:
        if command.correlation_id not in fresh and _is_new(command, known_of(command.correlation_id)):
            fresh[command.correlation_id] = command
    withdrawn = _withdrawn(batch, fresh)
    decisions = Decisions([], [])
    for command in fresh.values():
        reason = WITHDRAWN if command.correlation_id in withdrawn else why_not(command, now)
        if reason is None:
            decisions.to_send.append(command)
        else:
            decisions.expired.append((command, reason))
    return decisions


def why_not(command: CommandRecord, now: datetime) -> str | None:
    """Tell why a command cannot be sent at `now`; None where it can."""
    payload = message_at(command, now)
    if payload is None:
        return LATE
    if len(payload) > MAX_PAYLOAD_BYTES:
        return f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} can be sent"
    return None


def message_at(command: CommandRecord, now: datetime) -> bytes | None:
    """Return the MQTT payload at `now`; None when it is too late."""
    payload = payload_to_send(command, now)
    return None if payload is None else msgspec.json.encode(payload)


def _is_new(command: CommandRecord, known: CommandStatus | None) -> bool:
    return known is None or (known.state != "sent" and command.attempt > known.attempt)


def _withdrawn(batch: Sequence[CommandRecord], fresh: Container[str]) -> set[str]:
    """The correlation ids of events whose end follows in the batch, and of those ends that have nothing to end."""
    pending: dict[tuple[str | None, str], list[CommandRecord]] = {}
    withdrawn: set[str] = set()
    for command in batch:
        about = (command.event_id, command.ven_id)
        if command.op == EVENT and command.event_id is not None:
            pending.setdefault(about, []).append(command)
        elif command.op == RESTORE and about in pending:
            events = pending.pop(about)
            withdrawn.update(each.correlation_id for each in events if each.correlation_id in fresh)
            # An earlier attempt or revision may have been sent: then the restore has to go out.
            if all(each.attempt == each.command_revision == 1 and each.correlation_id in fresh for each in events):
                withdrawn.add(command.correlation_id)
    return withdrawn


_decode = msgspec.json.Decoder(CommandRecord).decode
