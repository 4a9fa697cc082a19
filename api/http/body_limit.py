"""Limits on the size and the duration of request bodies.

Starlette's own middleware answers in plain text; this API promises problem documents.
"""

import asyncio
from http import HTTPStatus

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem_response

BODY_SECONDS = 60.0
"""How long a client may take to send a body."""
_MAX_DIGITS = 18


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `max_bytes` and 408 to one that takes too long.

    A body whose Content-Length is too large is rejected before it is read.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"the body has more than {self._max_bytes} bytes (API_MAX_BODY_BYTES)"
        length = Headers(scope=scope).get("content-length", "")
        if len(length) > _MAX_DIGITS or (length.isdecimal() and int(length) > self._max_bytes):
            response = problem_response(Request(scope), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            await response(scope, receive, send)
            return
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def limited_receive() -> Message:
            nonlocal received, complete
            try:
                async with asyncio.timeout_at(None if complete else deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    HTTPStatus.REQUEST_TIMEOUT, f"the body was not complete within {BODY_SECONDS:.0f} s"
                ) from None
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # Raised in the route that reads the body, so the app answers with a problem document.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return message

        await self._app(scope, limited_receive, send)
