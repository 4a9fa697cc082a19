"""Commands to a VEN: taken in with 202, and sent by the dispatcher."""

from http import HTTPStatus

from fastapi import APIRouter, Response, status
from fastapi.exceptions import RequestValidationError

from api.dependencies import LoadId, VenId
from api.http.problems import conflict_response
from api.idempotency import CreateResult, Idempotent, IdempotentRequest
from api.services.command_admission import admit
from api.services.request_tracing import trace_request
from runtime.database import PooledConnection
from schemas.dr.commands import Command, event_command, new_event_id, shed_load_command
from schemas.rest.command_data import BadDataError, free_command
from schemas.rest.commands import FreeCommand, SendEvent, Sent, ShedLoad
from schemas.rest.model import RestModel

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["commands"])

TOLD = conflict_response(
    "The VEN is disabled; or was told of this event, or takes part in another, which lasts, and not to restore since."
)


@router.post(
    "/loads/{load_id}/commands/shed",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Sent,
    responses=conflict_response("The VEN is disabled."),
)
async def shed_load(ven_id: VenId, load_id: LoadId, shed: ShedLoad, once: Idempotent) -> Response:
    """Shed so much at one load of a VEN."""
    command = shed_load_command(ven_id, load_id, shed.amount_kw, shed.duration_s, shed.event_id)
    return await _send(once, shed, command, load_id)


@router.post("/send-event", status_code=status.HTTP_202_ACCEPTED, response_model=Sent, responses=TOLD)
async def send_event(ven_id: VenId, event: SendEvent, once: Idempotent) -> Response:
    """Send the VEN an event of its own; 409 when it was told of this one or of a DR event, and not to restore since."""
    command = event_command(ven_id, event.event_id or new_event_id(), event.shed_kw, event.duration_s)
    return await _send(once, event, command)


@router.post("/commands", status_code=status.HTTP_202_ACCEPTED, response_model=Sent, responses=TOLD)
async def send_command(ven_id: VenId, free: FreeCommand, once: Idempotent) -> Response:
    """Send any op to a VEN; the data of those that are known are checked."""
    try:
        command = free_command(ven_id, free.op, free.data)
    except BadDataError as error:
        raise RequestValidationError(
            [{"loc": ("body", "data", field), "msg": message} for field, message in error.errors]
        ) from None
    return await _send(once, free, command)


async def _send(once: IdempotentRequest, body: RestModel, command: Command, load_id: str | None = None) -> Response:
    async def send(connection: PooledConnection) -> CreateResult:
        taken = await admit(connection, command, load_id)
        trace.command(taken)
        sent = Sent(correlation_id=taken.correlation_id, ven_id=taken.ven_id, op=taken.op, event_id=taken.event_id)
        return CreateResult(HTTPStatus.ACCEPTED, sent, taken.correlation_id)

    with trace_request() as trace:
        return await once(body, send)
