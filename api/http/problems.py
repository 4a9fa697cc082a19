"""Errors as RFC 9457 problem documents, never as stack traces."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Route, compile_path

from runtime.database import DATABASE_OUTAGES
from runtime.database_tls import describe_failure
from schemas.rest.problems import FieldError, Problem

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5

UNEXPECTED = "an unexpected error; the server's log has the details"


class UnavailableError(Exception):
    """A server that the response needs is down. The message says which, and what to do."""


def not_found(what: str, name: str) -> HTTPException:
    """Return a 404 for `what` with the id `name`."""
    return HTTPException(HTTPStatus.NOT_FOUND, f"there is no {what} {name}")


def conflict(detail: str) -> HTTPException:
    """Return a 409."""
    return HTTPException(HTTPStatus.CONFLICT, detail)


def unprocessable(detail: str) -> HTTPException:
    """Return a 422 for a request that only the database can tell is invalid."""
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def conflict_response(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's 409 for OpenAPI."""
    return {HTTPStatus.CONFLICT.value: {"description": description}}


def add_problem_handlers(app: FastAPI) -> None:
    """Answer all errors of the app with problem documents."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed_methods(request))
        return problem_response(request, error.status_code, error.detail, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            FieldError(location=".".join(str(part) for part in each["loc"]), message=each["msg"])
            for each in error.errors()
        ]
        return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", errors=errors)

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        logger.warning("answered 503: %s", describe_failure(error), extra={"action": "api_unavailable"})
        detail = str(error) if isinstance(error, UnavailableError) else "the database does not answer; try again later"
        headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
        return problem_response(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)

    for outage in (UnavailableError, *DATABASE_OUTAGES):
        app.add_exception_handler(outage, unavailable)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _error: Exception) -> JSONResponse:
        return problem_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)


def _allowed_methods(request: Request) -> list[str]:
    """Return all methods of the path; the router names only those of the first route that matches."""
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        route = context.original_route
        if isinstance(route, Route) and compile_path(context.path or "")[0].match(request.scope["path"]):
            methods |= context.methods or set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def problem_response(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return the problem document."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request.url.path, errors=errors
    )
    return JSONResponse(
        body.model_dump(by_alias=True, exclude_none=True),
        status,
        headers=headers,
        media_type="application/problem+json",
    )
