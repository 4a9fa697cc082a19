"""What every route refuses: unknown or repeated query parameters, and bodies that are not JSON."""

import re
from collections import Counter
from http import HTTPStatus

from fastapi import HTTPException, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute

from schemas.rest.request_body import unknown_names

_NOT_QUERY = (Path, Header, Cookie)
_JSON = re.compile(r"application/(.+\+)?json")
CACHE_BUSTER = "_"
"""Some clients add this parameter so that no cache answers; it has no meaning here."""


async def check_request(request: Request) -> None:
    """Check what FastAPI ignores. A dependency of all routes, so that a new route needs nothing.

    Raises:
        RequestValidationError: 422 for a query parameter that the route does not declare, or that is repeated.
        HTTPException: 415 for a body that is not declared to be JSON.
    """
    route = request.scope["route"]
    if isinstance(route, APIRoute):
        _check_query(request, route)
        await _check_content_type(request, route)


def _check_query(request: Request, route: APIRoute) -> None:
    given = Counter(name for name, _ in request.query_params.multi_items() if name != CACHE_BUSTER)
    if not given:
        return
    known = [field.alias for field in get_flat_params(route.dependant) if not isinstance(field.field_info, _NOT_QUERY)]
    errors = [
        {"loc": ("query", name), "msg": unknown_names("parameter", [name], known)}
        for name in given
        if name not in known
    ]
    errors += [
        {"loc": ("query", name), "msg": "the parameter is given more than once"}
        for name, count in given.items()
        if name in known and count > 1
    ]
    if errors:
        raise RequestValidationError(errors)


async def _check_content_type(request: Request, route: APIRoute) -> None:
    if route.body_field is None or not await request.body():
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON.fullmatch(media_type):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {media_type or 'of no stated type'}; send JSON with Content-Type: application/json",
        )
