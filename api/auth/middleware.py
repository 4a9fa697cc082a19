"""The middleware in front of every request: authentication, permission, rate limit, and the audit of changes."""

import logging
from http import HTTPStatus

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.api_keys import ApiKeyCache
from api.auth.audit import AuditedAction, Outcome
from api.auth.authentication import AddressLimit, Authenticator, check_wait
from api.auth.client_address import client_address
from api.auth.origin_check import origin_rejection
from api.auth.permissions import SAFE_METHODS, RoutePermissions
from api.auth.principal import ANONYMOUS, Principal
from api.auth.rate_limit import RateLimiter
from api.auth.rejection import RejectedRequestError, insufficient_role, too_many_requests
from api.http.problems import problem_response
from runtime.database import DATABASE_ERRORS, Pool
from schemas.base.access_role import AccessRole
from schemas.settings.access import AccessSettings, is_loopback

logger = logging.getLogger(__name__)

DENIED_PER_SECOND = 1.0
DENIED_BURST = 100
"""Limit of changes that a principal's role does not permit; each is a row in the audit."""


class AuthMiddleware:
    """Passes permitted requests on. Their state has `principal` and, if they may change something, `action`."""

    def __init__(self, app: ASGIApp, settings: AccessSettings, host: str, keys: ApiKeyCache) -> None:
        self._app = app
        self._settings = settings
        self._open = settings.is_open(host)
        self._on_loopback = is_loopback(host)
        self._permissions = RoutePermissions(metrics_open=settings.api_metrics_open)
        # Addresses have a limiter of their own: a proxy reports them, so one may equal a principal's id.
        self._addresses = AddressLimit(settings)
        self._principals = RateLimiter(settings.api_rate_per_second, settings.api_rate_burst)
        self._denied = RateLimiter(DENIED_PER_SECOND, DENIED_BURST)
        self._authenticator = Authenticator(settings, keys, self._addresses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        pool: Pool = scope["app"].state.pool
        try:
            action = await self._authorize(request, pool)
        except RejectedRequestError as rejected:
            response = problem_response(request, rejected.status, rejected.detail, headers=rejected.headers)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send if action is None else _audited_send(action, pool, send))

    async def _authorize(self, request: Request, pool: Pool) -> AuditedAction | None:
        """Return the action of a request that may change something, None for one that only reads.

        Raises:
            RejectedRequestError: the request is not permitted.
        """
        required_role = self._permissions.required_role(request.method, request.scope["path"])
        address = client_address(request)
        if self._open:
            principal = self._admit_anonymous(request, address)
        elif required_role is None:
            self._addresses.count(address)
            return None
        else:
            principal = await self._authenticator.identify(request, pool, address)
            check_wait(self._principals.acquire(principal.id))
        request.state.principal = principal
        if request.method in SAFE_METHODS:
            _check_role(principal, required_role)
            return None
        action = AuditedAction(principal, request.method, request.scope["path"], request.state.request_id, address)
        request.state.action = action
        try:
            _check_role(principal, required_role)
        except RejectedRequestError as rejected:
            if wait := self._denied.acquire(principal.id):
                raise too_many_requests(wait, "too many requests that the role does not permit") from None
            await _write_to_audit(action, pool, rejected.status)
            raise
        return action

    def _admit_anonymous(self, request: Request, address: str) -> Principal:
        local_address = address if self._on_loopback else None
        reason = origin_rejection(request.method, request.headers, self._settings.cors_origins, local_address)
        if reason is not None:
            raise RejectedRequestError(HTTPStatus.FORBIDDEN, reason)
        # On loopback only users of this machine are clients; they need no limit.
        if not self._on_loopback:
            self._addresses.count(address)
        return ANONYMOUS


def _check_role(principal: Principal, required: AccessRole | None) -> None:
    if required is not None and not principal.role.includes(required):
        raise insufficient_role(f"this needs the role {required}, and {principal.name} is {principal.role}", required)


def _audited_send(action: AuditedAction, pool: Pool, send: Send) -> Send:
    """Write the audit entry before the response is sent, unless a transaction has written it."""

    async def audited_send(message: Message) -> None:
        if message["type"] == "http.response.start" and not action.written:
            await _write_to_audit(action, pool, message["status"])
        await send(message)

    return audited_send


async def _write_to_audit(action: AuditedAction, pool: Pool, status: int) -> None:
    outcome: Outcome = "done"
    if status >= HTTPStatus.BAD_REQUEST:
        outcome = "denied" if status == HTTPStatus.FORBIDDEN else "failed"
    try:
        await action.write(pool, outcome, status)
    except DATABASE_ERRORS as error:
        # Nothing was changed: the request was rejected, or the database is down. The log has it at least.
        logger.warning(
            "cannot write to the audit, the database does not answer (%s): %s, answered with %d",
            error,
            action,
            status,
            extra={"action": "audit_failed"},
        )
