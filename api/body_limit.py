"""Bodies that are too large are refused before they are read.

Starlette has a middleware for this, which answers in plain text; clients of this API are promised problem documents.
"""

from http import HTTPStatus

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

_MOST_DIGITS = 18


class BodyLimit:
    """Answers 413 where a body is announced as, or turns out to be, larger than `most` bytes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"a body has at most {self._most} bytes (API_MAX_BODY_BYTES)"
        announced = Headers(scope=scope).get("content-length", "")
        if len(announced) > _MOST_DIGITS or (announced.isdecimal() and int(announced) > self._most):
            refusal = problem(Request(scope), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            await refusal(scope, receive, send)
            return
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                # In the route that reads; the app makes a problem document of it.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return message

        await self._app(scope, counting, send)
