"""Responses to exceptions that no handler expects.

Starlette's own response is sent outside all middleware: it would lack the default headers, and the audit would not
contain the request.
"""

import logging
from http import HTTPStatus

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import UNEXPECTED, problem_response

logger = logging.getLogger(__name__)


class UnhandledErrorMiddleware:
    """Logs an exception and answers 500, unless the response has already begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def observed_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            if started:
                raise
            logger.exception("%s %r failed", scope["method"], scope["path"], extra={"action": "request_failed"})
            response = problem_response(Request(scope), HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
            await response(scope, receive, send)
