"""Bodies that are too large are refused before they are read, and those that take too long are not waited for.

Starlette has a middleware for this, which answers in plain text; clients of this API are promised problem documents.
"""

import asyncio
from http import HTTPStatus

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem

SECONDS = 60.0
"""How long a body may take."""
_MOST_DIGITS = 18


class BodyLimitMiddleware:
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
        read, whole = 0, False
        until = asyncio.get_running_loop().time() + SECONDS

        async def counting() -> Message:
            nonlocal read, whole
            try:
                async with asyncio.timeout_at(None if whole else until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"no whole body within {SECONDS:.0f} s") from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._most:
                # In the route that reads; the app makes a problem document of it.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return message

        await self._app(scope, counting, send)
