"""Before every request: who asks, whether they may, and how often; what they change is written down."""

import asyncio
import logging
import math
from http import HTTPStatus

import asyncpg
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.api_keys import PREFIX, ApiKeyCache, digest_of
from api.auth.audit import AuditedAction, Outcome
from api.auth.client_address import client_address, rate_limit_key
from api.auth.jwks import IssuerUnavailableError
from api.auth.origin_check import origin_refusal
from api.auth.permissions import SAFE_METHODS, RoutePermissions
from api.auth.principal import ANONYMOUS, Principal
from api.auth.rate_limit import RateLimiter
from api.auth.tokens import BadTokenError, NoRoleError, Tokens
from api.http.problems import OUTAGES, RETRY_AFTER_SECONDS, problem
from runtime.database import Pool
from schemas.base.access_role import AccessRole
from schemas.settings.access import AccessSettings, is_loopback

logger = logging.getLogger(__name__)

CHALLENGE = 'Bearer realm="grid-event-gateway"'
_WRONG_PER_SECOND = 1.0
_WRONG_BURST = 20
"""Unknown keys of one address; each is a look into the database."""
_DENIED_PER_SECOND = 1.0
_DENIED_BURST = 100
"""What one may try that its role may not; each is a row of the audit."""
_LOOK_UPS = 4
"""Of keys that did not hold a moment ago, at once: whoever tries many in parallel leaves connections for the others."""


class RefusedError(Exception):
    """The answer to a request that may not go on."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class AuthMiddleware:
    """Lets a request through with `principal` and, where it may change something, `action` in its state."""

    def __init__(self, app: ASGIApp, settings: AccessSettings, host: str, keys: ApiKeyCache) -> None:
        self._app = app
        self._settings = settings
        self._open = settings.is_open(host)
        self._on_loopback = is_loopback(host)
        self._roles = RoutePermissions(metrics_open=settings.api_metrics_open)
        self._keys = keys
        self._tokens = Tokens(settings) if settings.api_oidc_issuer else None
        # Apart, for an address is what a proxy says it is: it might be somebody's id.
        self._rates = RateLimiter(settings.api_rate_per_second, settings.api_rate_burst)
        self._rates_of_addresses = RateLimiter(settings.api_rate_per_second, settings.api_rate_burst)
        self._wrong = RateLimiter(_WRONG_PER_SECOND, _WRONG_BURST)
        self._denied = RateLimiter(_DENIED_PER_SECOND, _DENIED_BURST)
        self._looking_up = asyncio.Semaphore(_LOOK_UPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        pool: Pool = scope["app"].state.pool
        try:
            action = await self._admit(request, pool)
        except RefusedError as refused:
            answer = problem(request, refused.status, refused.detail, headers=refused.headers)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send if action is None else _noting(action, pool, send))

    async def _admit(self, request: Request, pool: Pool) -> AuditedAction | None:
        required_role = self._roles.required_role(request.method, request.scope["path"])
        address = client_address(request)
        if self._open:
            why = origin_refusal(
                request.method, request.headers, self._settings.cors_origins, address if self._on_loopback else None
            )
            if why is not None:
                raise RefusedError(HTTPStatus.FORBIDDEN, why)
            who = ANONYMOUS
            # Nobody but this machine's own users is there to be kept from taking all.
            if not self._on_loopback:
                self._take_one_of(address)
        elif required_role is None:
            self._take_one_of(address)
            return None
        else:
            who = await self._identify(request, pool, address)
            _check_wait(self._rates.acquire(who.id))
        request.state.principal = who
        if request.method in SAFE_METHODS:
            self._require(who, required_role)
            return None
        action = AuditedAction(who, request.method, request.scope["path"], request.state.request_id, address)
        request.state.action = action
        try:
            self._require(who, required_role)
        except RefusedError as refused:
            if wait := self._denied.acquire(who.id):
                raise _too_many(wait, "too many requests that this role may not make") from None
            await _write_down(action, pool, refused.status)
            raise
        return action

    def _require(self, who: Principal, required_role: AccessRole | None) -> None:
        if required_role is None or who.role.includes(required_role):
            return
        raise RefusedError(
            HTTPStatus.FORBIDDEN,
            f"this needs the role {required_role}, and {who.name} is {who.role}",
            www_authenticate=f'{CHALLENGE}, error="insufficient_scope", scope="{required_role}"',
        )

    def _take_one_of(self, address: str) -> None:
        _check_wait(self._rates_of_addresses.acquire(rate_limit_key(address)))

    async def _identify(self, request: Request, pool: Pool, address: str) -> Principal:
        # Of two headers what stands in front may have looked at the other one.
        given = request.headers.getlist("authorization")
        kind, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        text = text.strip()
        if kind.lower() != "bearer" or not text:
            self._take_one_of(address)
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "say who asks: send an API key or a token as `Authorization: Bearer …`; "
                "`gateway keys create` makes keys",
                www_authenticate=CHALLENGE,
            )
        return await (self._by_key(text, pool, address) if text.startswith(PREFIX) else self._by_token(text, address))

    async def _by_key(self, text: str, pool: Pool, address: str) -> Principal:
        digest = digest_of(text)
        try:
            if self._keys.was_valid(digest):
                who = await self._keys.find(pool, digest)
            else:
                # Who tries keys at random shall not keep the database busy; who has one that held is let through.
                async with self._looking_up:
                    if wait := self._wrong.retry_after_seconds(rate_limit_key(address)):
                        raise _too_many(wait, "too many requests with keys that do not hold")
                    who = await self._keys.find(pool, digest)
        except (*OUTAGES, asyncpg.PostgresError) as error:
            logger.warning("keys cannot be looked up: %s", error, extra={"action": "keys_unavailable"})
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the database does not answer, so nobody can tell whether this key holds; try again soon",
                retry_after=str(RETRY_AFTER_SECONDS),
            ) from None
        if who is None:
            self._wrong.acquire(rate_limit_key(address))
            raise _invalid("this key does not hold: it is unknown, expired or revoked")
        return who

    async def _by_token(self, text: str, address: str) -> Principal:
        if self._tokens is None:
            raise _invalid(f"this is no API key, which begins with {PREFIX}, and tokens are not accepted here")
        try:
            return await self._tokens.read(text)
        except BadTokenError as error:
            self._take_one_of(address)
            raise _invalid(str(error)) from None
        except NoRoleError as error:
            self._take_one_of(address)
            headers = {"www_authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
            raise RefusedError(HTTPStatus.FORBIDDEN, str(error), **headers) from None
        except IssuerUnavailableError as error:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=str(RETRY_AFTER_SECONDS)
            ) from None


def _invalid(why: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNAUTHORIZED, why, www_authenticate=f'{CHALLENGE}, error="invalid_token"')


def _check_wait(wait: float) -> None:
    if wait:
        raise _too_many(wait, "too many requests; ask less often (API_RATE_PER_SECOND)")


def _too_many(wait: float, detail: str) -> RefusedError:
    return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after=str(math.ceil(wait)))


def _noting(action: AuditedAction, pool: Pool, send: Send) -> Send:
    """Write the deed down before its answer goes out, where it was not done in a transaction that has it already."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start" and not action.kept:
            await _write_down(action, pool, message["status"])
        await send(message)

    return noting


async def _write_down(action: AuditedAction, pool: Pool, status: int) -> None:
    outcome: Outcome = "done"
    if status >= HTTPStatus.BAD_REQUEST:
        outcome = "denied" if status == HTTPStatus.FORBIDDEN else "failed"
    try:
        await action.keep(pool, outcome, status)
    except (*OUTAGES, asyncpg.PostgresError) as error:
        # It was refused, or the database was away and nothing was done: the log has it at least.
        logger.warning(
            "not in the audit, for the database does not answer (%s): %s, answered with %d",
            error,
            action,
            status,
            extra={"action": "audit_failed"},
        )
