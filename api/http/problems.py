"""Every error as an RFC 9457 problem document, and never a stack trace."""

import logging
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from runtime.database_tls import describe_failure
from schemas.rest.problems import FieldError, Problem

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5

# What a database that is away, ending, starting, overloaded or busy with the same rows looks like.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock: the other one went on
)


class UnavailableError(Exception):
    """A server that the answer needs is down; the message says which."""


def not_found(what: str, name: str) -> HTTPException:
    """Return the 404 for a thing that is not there."""
    return HTTPException(HTTPStatus.NOT_FOUND, f"there is no {what} {name}")


def conflict(detail: str) -> HTTPException:
    """Return a 409."""
    return HTTPException(HTTPStatus.CONFLICT, detail)


def unprocessable(detail: str) -> HTTPException:
    """Return a 422 for what only the database could tell."""
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def conflict_response(description: str) -> dict[int | str, dict[str, Any]]:
    """Describe the 409 of a route."""
    return {HTTPStatus.CONFLICT.value: {"description": description}}


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return problem(request, error.status_code, error.detail, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            FieldError(location=".".join(str(part) for part in problem["loc"]), message=problem["msg"])
            for problem in error.errors()
        ]
        return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", errors=errors)

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        logger.warning("unavailable: %s", describe_failure(error), extra={"action": "api_unavailable"})
        detail = str(error) if isinstance(error, UnavailableError) else "the database does not answer; try again soon"
        headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
        return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)

    for outage in (UnavailableError, *OUTAGES):
        app.add_exception_handler(outage, unavailable)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _error: Exception) -> JSONResponse:
        return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; it is in the server's log")


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Build the answer."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request.url.path, errors=errors
    )
    return JSONResponse(
        body.model_dump(by_alias=True, exclude_none=True),
        status,
        headers=headers,
        media_type="application/problem+json",
    )
