"""Idempotent POST requests: the same Idempotency-Key and body return the same response for 24 hours."""

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Annotated, NamedTuple

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.auth.audit import AuditedAction, CurrentAction
from api.dependencies import Database
from api.http.problems import unprocessable
from api.queries.idempotency import claim_key, store_response
from runtime.database import Pool, PooledConnection


class CreateResult(NamedTuple):
    """What a POST created, and its response."""

    status: int
    body: BaseModel
    resource_id: str
    location: str | None = None


Work = Callable[[PooledConnection], Awaitable[CreateResult]]


class IdempotentRequest:
    """Runs the work of one request in one transaction with its key, so that both are stored or neither.

    Errors are not stored: a client can correct the request and send it with the same key.
    """

    def __init__(self, pool: Pool, action: AuditedAction, path: str, key: str | None) -> None:
        self._pool = pool
        self._action = action
        self._path = path
        self._key = key

    async def run(self, body: BaseModel, work: Work) -> Response:
        """Return the response of `work`, or the stored one.

        Raises:
            HTTPException: 422 if the key was used with another body, and whatever `work` raises.
        """
        async with self._action.transaction(self._pool) as connection:
            if self._key is None:
                return self._response(await work(connection))
            digest = blake2b(body.model_dump_json(exclude_unset=True).encode(), digest_size=16).hexdigest()
            stored = await claim_key(connection, self._path, self._key, digest)
            if stored is None:
                result = await work(connection)
                text = result.body.model_dump_json(by_alias=True)
                await store_response(connection, self._path, self._key, result.status, text, result.location)
                return self._response(result)
            if stored["digest"] != digest:
                raise unprocessable("this Idempotency-Key was used with another body; use a new key for a new request")
            self._action.repeated = True
            return _json_response(stored["status"], stored["body"], stored["location"])

    def _response(self, result: CreateResult) -> Response:
        self._action.result = result.resource_id
        return _json_response(result.status, result.body.model_dump_json(by_alias=True), result.location)


def _json_response(code: int, body: str, location: str | None) -> Response:
    headers = {} if location is None else {"location": location}
    return Response(body, code, headers, media_type="application/json")


def _idempotent_request(
    request: Request,
    database: Database,
    action: CurrentAction,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x20-\x7e]+$",
            description="Chosen by the client. The same key and body return the same response for 24 hours.",
        ),
    ] = None,
) -> IdempotentRequest:
    return IdempotentRequest(database, action, request.url.path, idempotency_key)


Idempotent = Annotated[IdempotentRequest, Depends(_idempotent_request)]
