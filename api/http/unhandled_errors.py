"""An error that nobody foresaw is answered inside the gate.

Starlette's own answer comes from outside of all middleware: it would have no headers, and what was asked for would not
be in the audit.
"""

import logging
from http import HTTPStatus

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem

logger = logging.getLogger(__name__)


class UnhandledErrorMiddleware:
    """Answers 500 where the app raises before it has begun to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            if begun:
                raise
            logger.exception("%s %r failed", scope["method"], scope["path"], extra={"action": "request_failed"})
            detail = "an unexpected error; it is in the server's log"
            answer = problem(Request(scope), HTTPStatus.INTERNAL_SERVER_ERROR, detail)
            await answer(scope, receive, send)
