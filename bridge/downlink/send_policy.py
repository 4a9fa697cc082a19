"""What becomes of each command that was fetched: sent, left alone, or too late. No I/O."""

from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from bridge.downlink.command_index import Known
from schemas.base.rejection import Reason, RejectedError
from schemas.dr.commands import EVENT, RESTORE
from schemas.mqtt.filters import check_filter
from schemas.parsing.common import MAX_PAYLOAD_BYTES, MAX_TEXT, check_ven_id
from schemas.records.commands import Dispatch, payload_to_send

COMMAND_TOPIC = "ven/cmd/"
LATE = "late"
WITHDRAWN = "withdrawn"

_MOST_ATTEMPTS = 2**31 - 1


class Decisions(NamedTuple):
    """Commands to be sent, in their order, and those that are not, with the reason; others are known already."""

    to_send: list[Dispatch]
    expired: list[tuple[Dispatch, str]]


def read_dispatch(value: bytes) -> Dispatch:
    """Decode a record of ven.commands.

    Raises:
        RejectedError: it is none, or names what cannot be sent to; others may write there too.
    """
    if not value:
        raise RejectedError(Reason.EMPTY, "the record is empty")
    try:
        dispatch = _decode(value)
    except msgspec.ValidationError as error:
        raise RejectedError(Reason.BAD_VALUE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedError(Reason.NOT_JSON, str(error)) from None
    except RecursionError:
        raise RejectedError(Reason.TOO_DEEP, "nested too deep") from None
    check_ven_id(dispatch.ven_id)
    try:
        # Brokers close the connection over a topic that is none.
        check_filter(COMMAND_TOPIC + dispatch.ven_id)
    except ValueError as error:
        raise RejectedError(Reason.BAD_ID, str(error)) from None
    if not 1 <= len(dispatch.correlation_id) <= MAX_TEXT or not dispatch.correlation_id.isprintable():
        raise RejectedError(Reason.BAD_VALUE, f"correlationId has 1 to {MAX_TEXT} characters that can be printed")
    if not 1 <= dispatch.attempt <= _MOST_ATTEMPTS:
        raise RejectedError(Reason.BAD_VALUE, f"attempt counts from 1, not {dispatch.attempt}")
    return dispatch


def decide(batch: Sequence[Dispatch], known_of: Callable[[str], Known | None], now: datetime) -> Decisions:
    """Tell what becomes of each command of a batch, given what is known of it.

    An event that is withdrawn before the VEN was told of it is not sent, and neither is its end: the device would shed
    for a moment, and the end would end whatever else is active there.
    """
    fresh: dict[str, Dispatch] = {}
    for dispatch in batch:
        if dispatch.correlation_id not in fresh and _is_new(dispatch, known_of(dispatch.correlation_id)):
            fresh[dispatch.correlation_id] = dispatch
    withdrawn = _withdrawn(batch, fresh)
    decisions = Decisions([], [])
    for dispatch in fresh.values():
        because = WITHDRAWN if dispatch.correlation_id in withdrawn else why_not(dispatch, now)
        if because is None:
            decisions.to_send.append(dispatch)
        else:
            decisions.expired.append((dispatch, because))
    return decisions


def why_not(dispatch: Dispatch, now: datetime) -> str | None:
    """Tell why a command cannot be sent at `now`; None where it can."""
    payload = message_at(dispatch, now)
    if payload is None:
        return LATE
    if len(payload) > MAX_PAYLOAD_BYTES:
        return f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} can be sent"
    return None


def message_at(dispatch: Dispatch, now: datetime) -> bytes | None:
    """Return the MQTT payload at `now`; None when it is too late."""
    payload = payload_to_send(dispatch, now)
    return None if payload is None else msgspec.json.encode(payload)


def _is_new(dispatch: Dispatch, known: Known | None) -> bool:
    return known is None or (known.state != "sent" and dispatch.attempt > known.attempt)


def _withdrawn(batch: Sequence[Dispatch], fresh: Container[str]) -> set[str]:
    """The correlation ids of events whose end follows in the batch, and of those ends that have nothing to end."""
    telling: dict[tuple[str | None, str], list[Dispatch]] = {}
    withdrawn: set[str] = set()
    for dispatch in batch:
        about = (dispatch.event_id, dispatch.ven_id)
        if dispatch.op == EVENT and dispatch.event_id is not None:
            telling.setdefault(about, []).append(dispatch)
        elif dispatch.op == RESTORE and about in telling:
            told = telling.pop(about)
            withdrawn.update(each.correlation_id for each in told if each.correlation_id in fresh)
            # Of what was said before, in another attempt or telling or known already, something may be out: then the
            # end has to go out.
            if all(each.attempt == each.telling == 1 and each.correlation_id in fresh for each in told):
                withdrawn.add(dispatch.correlation_id)
    return withdrawn


_decode = msgspec.json.Decoder(Dispatch).decode
