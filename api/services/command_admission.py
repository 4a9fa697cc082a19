"""Checks an operator's command before it is accepted, whichever route it came by."""

import msgspec

from api.http.problems import conflict, not_found, unprocessable
from api.queries.commands import busy_with, end_shedding, has_load, insert_command, is_shedding, lock_ven
from runtime.database import PooledConnection
from schemas.dr.commands import EVENT, RESTORE, SHED_PANEL, SHEDDING, Command
from schemas.parsing.common import MAX_PAYLOAD_BYTES


async def admit(connection: PooledConnection, command: Command, load_id: str | None = None) -> Command:
    """Accept a command for the outbox and return it; `load_id` has to be among the VEN's loads.

    A disabled VEN gets no command to shed. An event is not sent twice: a device would shed a second time on top of the
    first. A VEN in a DR event gets no other event until it is over: a device keeps both sheds and reports only the
    second one, and the end of either ends both. A restore ends whatever is active; if it names no event, it gets the
    id of the one that it ends.

    Raises:
        HTTPException: 404, 409 or 422.
    """
    status = await lock_ven(connection, command.ven_id)
    if status is None:
        raise not_found("VEN", command.ven_id)
    if load_id is not None and not await has_load(connection, command.ven_id, load_id):
        raise not_found(f"load of {command.ven_id}", load_id)
    if status == "disabled" and command.op in SHEDDING:
        raise conflict(f"{command.ven_id} is disabled and takes part in no event")
    if command.op in {EVENT, SHED_PANEL} and command.event_id is not None:
        await _may_shed(connection, command.ven_id, command.event_id)
    if len(msgspec.json.encode(command.payload)) > MAX_PAYLOAD_BYTES:
        raise unprocessable(f"the command has more than {MAX_PAYLOAD_BYTES} bytes")
    if command.op == RESTORE:
        ended = await end_shedding(connection, command.ven_id)
        command = command._replace(event_id=command.event_id or ended)
    await insert_command(connection, command)
    return command


async def _may_shed(connection: PooledConnection, ven_id: str, event_id: str) -> None:
    if await is_shedding(connection, ven_id, event_id):
        raise conflict(
            f"{ven_id} has already been sent {event_id} and would shed twice; "
            "send a restore first, or choose another event id"
        )
    busy = await busy_with(connection, ven_id)
    if busy is not None:
        raise conflict(f"{ven_id} takes part in {busy} and would shed on top of it; send a restore first")
