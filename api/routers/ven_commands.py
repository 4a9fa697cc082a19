"""Commands of operators to a VEN: accepted with 202, then published to Kafka and sent over MQTT."""

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

_SHED_CONFLICT = conflict_response(
    "The VEN is disabled, or it is still in this event or another one and was not sent a restore."
)


@router.post(
    "/loads/{load_id}/commands/shed",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Sent,
    responses=conflict_response("The VEN is disabled."),
)
async def shed_load(ven_id: VenId, load_id: LoadId, shed: ShedLoad, idempotent: Idempotent) -> Response:
    """Shed an amount of power at one load of a VEN."""
    command = shed_load_command(ven_id, load_id, shed.amount_kw, shed.duration_s, shed.event_id)
    return await _send(idempotent, shed, command, load_id)


@router.post("/send-event", status_code=status.HTTP_202_ACCEPTED, response_model=Sent, responses=_SHED_CONFLICT)
async def send_event(ven_id: VenId, event: SendEvent, idempotent: Idempotent) -> Response:
    """Send an event to this VEN only; 409 if it is in this event or another one and was not sent a restore since."""
    command = event_command(ven_id, event.event_id or new_event_id(), event.shed_kw, event.duration_s)
    return await _send(idempotent, event, command)


@router.post("/commands", status_code=status.HTTP_202_ACCEPTED, response_model=Sent, responses=_SHED_CONFLICT)
async def send_command(ven_id: VenId, free: FreeCommand, idempotent: Idempotent) -> Response:
    """Send any op to a VEN; the data of known ops is validated."""
    try:
        command = free_command(ven_id, free.op, free.data)
    except BadDataError as error:
        raise RequestValidationError(
            [{"loc": ("body", "data", field), "msg": message} for field, message in error.errors]
        ) from None
    return await _send(idempotent, free, command)


async def _send(
    idempotent: IdempotentRequest, body: RestModel, command: Command, load_id: str | None = None
) -> Response:
    async def send(connection: PooledConnection) -> CreateResult:
        admitted = await admit(connection, command, load_id)
        trace.command(admitted)
        sent = Sent(
            correlation_id=admitted.correlation_id, ven_id=admitted.ven_id, op=admitted.op, event_id=admitted.event_id
        )
        return CreateResult(HTTPStatus.ACCEPTED, sent, admitted.correlation_id)

    with trace_request() as trace:
        return await idempotent.run(body, send)
