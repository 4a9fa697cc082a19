"""Authentication: finds the principal of a request by its API key or token."""

import asyncio
import logging

from fastapi import Request

from api.auth.api_keys import PREFIX, ApiKeyCache, digest_of
from api.auth.client_address import rate_limit_key
from api.auth.jwks import IssuerUnavailableError
from api.auth.principal import Principal
from api.auth.rate_limit import RateLimiter
from api.auth.rejection import (
    insufficient_role,
    invalid_credentials,
    too_many_requests,
    unauthenticated,
    unavailable,
)
from api.auth.tokens import InvalidTokenError, NoRoleError, Tokens
from runtime.database import DATABASE_ERRORS, Pool
from schemas.settings.access import AccessSettings

logger = logging.getLogger(__name__)

INVALID_KEYS_PER_SECOND = 1.0
INVALID_KEYS_BURST = 20
"""Limit of invalid keys from one address; each is looked up in the database."""
LOOK_UPS = 4
"""Concurrent look-ups of keys that are not known to be valid, so that they leave connections to other requests."""


class AddressLimit:
    """The rate limit of requests that are not authenticated, for each client address."""

    def __init__(self, settings: AccessSettings) -> None:
        self._limiter = RateLimiter(settings.api_rate_per_second, settings.api_rate_burst)

    def count(self, address: str) -> None:
        """Count a request.

        Raises:
            RejectedRequestError: 429.
        """
        check_wait(self._limiter.acquire(rate_limit_key(address)))


def check_wait(wait: float) -> None:
    """Raise RejectedRequestError (429) unless `wait` is 0."""
    if wait:
        raise too_many_requests(wait, "too many requests; send fewer (API_RATE_PER_SECOND)")


class Authenticator:
    """Identifies the principal of a request."""

    def __init__(self, settings: AccessSettings, keys: ApiKeyCache, addresses: AddressLimit) -> None:
        self._keys = keys
        self._tokens = Tokens(settings) if settings.api_oidc_issuer else None
        self._addresses = addresses
        self._invalid_keys = RateLimiter(INVALID_KEYS_PER_SECOND, INVALID_KEYS_BURST)
        self._look_ups = asyncio.Semaphore(LOOK_UPS)

    async def identify(self, request: Request, pool: Pool, address: str) -> Principal:
        """Return the principal.

        Raises:
            RejectedRequestError: 401, 403, 429 or 503.
        """
        # With two headers, a proxy in front may have checked the other one.
        given = request.headers.getlist("authorization")
        scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            self._addresses.count(address)
            raise unauthenticated()
        return await (self._by_key(text, pool, address) if text.startswith(PREFIX) else self._by_token(text, address))

    async def _by_key(self, text: str, pool: Pool, address: str) -> Principal:
        digest = digest_of(text)
        try:
            if self._keys.was_valid(digest):
                principal = await self._keys.find(pool, digest)
            else:
                # Clients that try keys at random must not keep the database busy; known keys skip this limit.
                async with self._look_ups:
                    if wait := self._invalid_keys.retry_after_seconds(rate_limit_key(address)):
                        raise too_many_requests(wait, "too many requests with invalid keys")
                    principal = await self._keys.find(pool, digest)
        except DATABASE_ERRORS as error:
            logger.warning("cannot look up API keys: %s", error, extra={"action": "keys_unavailable"})
            raise unavailable("the database does not answer, so the key cannot be checked; try again later") from None
        if principal is None:
            self._invalid_keys.acquire(rate_limit_key(address))
            raise invalid_credentials("the API key is unknown, expired or revoked")
        return principal

    async def _by_token(self, text: str, address: str) -> Principal:
        if self._tokens is None:
            raise invalid_credentials(
                f"tokens are not accepted here (API_OIDC_ISSUER), and API keys begin with {PREFIX}"
            )
        try:
            return await self._tokens.read(text)
        except InvalidTokenError as error:
            self._addresses.count(address)
            raise invalid_credentials(str(error)) from None
        except NoRoleError as error:
            self._addresses.count(address)
            raise insufficient_role(str(error)) from None
        except IssuerUnavailableError as error:
            raise unavailable(str(error)) from None
