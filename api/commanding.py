"""What has to hold before a command is taken in, whichever route it came by."""

import msgspec

from api.problems import conflict, unknown, unprocessable
from api.queries.commands import has_load, insert_command, is_shedding, lock_ven
from runtime.database import PooledConnection
from schemas.commands import EVENT, SHED_PANEL, SHEDDING, Command
from schemas.payloads import MAX_PAYLOAD_BYTES


async def take_in(connection: PooledConnection, command: Command, load_id: str | None = None) -> None:
    """Take a command in for the dispatcher; `load_id` has to be among the VEN's loads.

    A disabled VEN may be asked and set, but sheds nothing. An event is not sent twice: a device would shed once more
    on top of the first time.

    Raises:
        HTTPException: 404, 409 or 422.
    """
    status = await lock_ven(connection, command.ven_id)
    if status is None:
        raise unknown("VEN", command.ven_id)
    if load_id is not None and not await has_load(connection, command.ven_id, load_id):
        raise unknown(f"load of {command.ven_id}", load_id)
    if status == "disabled" and command.op in SHEDDING:
        raise conflict(f"{command.ven_id} is disabled and takes part in no event")
    if (
        command.op in {EVENT, SHED_PANEL}
        and command.event_id is not None
        and await is_shedding(connection, command.ven_id, command.event_id)
    ):
        raise conflict(
            f"{command.ven_id} was told of {command.event_id} already, and would shed again on top; "
            "send a restore first, or take another event id"
        )
    if len(msgspec.json.encode(command.payload)) > MAX_PAYLOAD_BYTES:
        raise unprocessable(f"the command has more than {MAX_PAYLOAD_BYTES} bytes")
    await insert_command(connection, command)
