"""POST that creates once: the same Idempotency-Key and body get the same answer, for a day."""

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
    """What a POST answers when it has created something."""

    status: int
    body: BaseModel
    result: str
    """The id of what was created."""
    location: str | None = None


Work = Callable[[PooledConnection], Awaitable[CreateResult]]


class IdempotentRequest:
    """Does the work of one request in one transaction, together with its key: both are kept, or neither.

    An error is not kept: whoever mends what was wrong may ask again with the same key.
    """

    def __init__(self, pool: Pool, action: AuditedAction, path: str, key: str | None) -> None:
        self._pool = pool
        self._deed = action
        self._path = path
        self._key = key

    async def __call__(self, body: BaseModel, work: Work) -> Response:
        """Answer a request.

        Raises:
            HTTPException: 422 when the key came with another body before, and what `work` raises.
        """
        async with self._deed.transaction(self._pool) as connection:
            if self._key is None:
                return self._answer(await work(connection))
            digest = blake2b(body.model_dump_json(exclude_unset=True).encode(), digest_size=16).hexdigest()
            known = await claim_key(connection, self._path, self._key, digest)
            if known is None:
                answer = await work(connection)
                words = answer.body.model_dump_json(by_alias=True)
                await store_response(connection, self._path, self._key, answer.status, words, answer.location)
                return self._answer(answer)
            if known["digest"] != digest:
                detail = "this Idempotency-Key came with another body before; take a new key for a new request"
                raise unprocessable(detail)
            self._deed.repeated = True
            return _response(known["status"], known["body"], known["location"])

    def _answer(self, answer: CreateResult) -> Response:
        self._deed.result = answer.result
        return _response(answer.status, answer.body.model_dump_json(by_alias=True), answer.location)


def _response(code: int, body: str, location: str | None) -> Response:
    headers = {} if location is None else {"location": location}
    return Response(body, code, headers, media_type="application/json")


def _once(
    request: Request,
    database: Database,
    action: CurrentAction,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x20-\x7e]+$",
            description="Of the client's making; the same key and body within a day get the same answer.",
        ),
    ] = None,
) -> IdempotentRequest:
    return IdempotentRequest(database, action, request.url.path, idempotency_key)


Idempotent = Annotated[IdempotentRequest, Depends(_once)]
