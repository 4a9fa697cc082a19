"""Pages of a plain list: a Link header names the next one."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request, Response

Cursor = Annotated[str, Query(max_length=256, pattern=r"^[^\x00]*$", description="From a Link header.")]


def add_next_link(request: Request, response: Response, **query: Any) -> None:
    """Say where the list goes on; what is None is left out."""
    given = urlencode({name: value for name, value in query.items() if value is not None})
    response.headers["link"] = f'<{request.url.path}?{given}>; rel="next"'
