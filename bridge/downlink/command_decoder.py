"""Decodes and checks the records of ven.commands."""

import msgspec

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.filters import check_filter
from schemas.mqtt.routing import COMMAND_TOPIC
from schemas.parsing.common import MAX_TEXT, check_ven_id
from schemas.records.commands import CommandRecord, decode_command_record

_MAX_ATTEMPT = 2**31 - 1


def decode_command(value: bytes) -> CommandRecord:
    """Return the command of a record.

    Raises:
        RejectedError: the record is no command, or no message can be sent to its VEN; other writers are possible.
    """
    if not value:
        raise RejectedError(Reason.EMPTY, "the record is empty")
    try:
        command = decode_command_record(value)
    except msgspec.ValidationError as error:
        raise RejectedError(Reason.BAD_VALUE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedError(Reason.NOT_JSON, str(error)) from None
    except RecursionError:
        raise RejectedError(Reason.TOO_DEEP, "nested too deep") from None
    check_ven_id(command.ven_id)
    try:
        # Brokers close the connection over an invalid topic.
        check_filter(COMMAND_TOPIC + command.ven_id)
    except ValueError as error:
        raise RejectedError(Reason.BAD_ID, str(error)) from None
    if not 1 <= len(command.correlation_id) <= MAX_TEXT or not command.correlation_id.isprintable():
        raise RejectedError(Reason.BAD_VALUE, f"correlationId has 1 to {MAX_TEXT} printable characters")
    if not 1 <= command.attempt <= _MAX_ATTEMPT:
        raise RejectedError(Reason.BAD_VALUE, f"attempt counts from 1, not {command.attempt}")
    return command
