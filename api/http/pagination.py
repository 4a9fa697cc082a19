"""Pages of a list: a Link header contains the next one."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request, Response

Cursor = Annotated[
    str, Query(max_length=256, pattern=r"^[^\x00]*$", description="From the Link header of the previous page.")
]


def add_next_link(request: Request, response: Response, **query: Any) -> None:
    """Add a Link header for the next page; query parameters that are None are left out."""
    given = urlencode({name: value for name, value in query.items() if value is not None})
    response.headers["link"] = f'<{request.url.path}?{given}>; rel="next"'
