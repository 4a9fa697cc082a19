"""The public keys of an OIDC issuer (JWKS): fetched when needed, and again when they may have changed."""

import asyncio
import json
import logging
import ssl
import time
from typing import Any

import httpx

from schemas.settings.access import AccessSettings, secure_address

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
"""For a complete response: a slow one would block all requests with an unknown key id."""
MAX_AGE_SECONDS = 3600.0
"""How long keys are used if the issuer does not answer any more."""
_MAX_BYTES = 1_048_576


class IssuerUnavailableError(Exception):
    """The issuer's keys are not available; the message says why."""


class Jwks:
    """The keys that the issuer published last; an unknown key id makes it fetch them again."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._address = settings.api_oidc_jwks_uri
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._error = ""
        """The error of the last fetch; empty after a success."""

    async def find(self, key_id: str | None) -> dict[str, Any] | None:
        """Return the key (JWK) with this id, or the only key if the id is None; None if the issuer has no such key.

        Raises:
            IssuerAwayError: the keys are unknown or too old.
        """
        age, fresh = time.monotonic() - self._fetched_at, self._settings.api_oidc_jwks_seconds
        if age < MAX_AGE_SECONDS and (found := self._known(key_id)) is not None:
            # Refreshed in the background, so that no request waits for a slow issuer. But if the keys were not used
            # for long, one of them may have been revoked meanwhile, so the request waits.
            if age > fresh:
                self._fetch()
            if age <= 2 * fresh or self._error:
                return found
        # All concurrent requests wait for the same fetch; it continues if one of them is cancelled.
        if (fetching := self._fetch()) is not None:
            await asyncio.shield(fetching)
        if time.monotonic() - self._fetched_at >= MAX_AGE_SECONDS:
            raise IssuerUnavailableError(f"cannot fetch the issuer's keys: {self._error}; check API_OIDC_ISSUER")
        return self._known(key_id)

    def _known(self, key_id: str | None) -> dict[str, Any] | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _fetch(self) -> asyncio.Task[None] | None:
        """Start a fetch, unless one runs or ran a moment ago: invented key ids must not flood the issuer."""
        if self._fetching is None and time.monotonic() - self._tried_at >= self._settings.api_oidc_refetch_seconds:
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch_now())
        return self._fetching

    async def _fetch_now(self) -> None:
        try:
            keys = (await self._download())["keys"]
            self._keys = {key.get("kid"): key for key in keys if key.get("use", "sig") == "sig"}
        except (
            OSError,
            httpx.HTTPError,
            httpx.InvalidURL,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            self._error = _describe(error)
            logger.warning("cannot fetch the issuer's keys: %s", self._error, extra={"action": "jwks_failed"})
            self._address = self._settings.api_oidc_jwks_uri  # the issuer may have moved it
        else:
            self._fetched_at, self._error = time.monotonic(), ""
            logger.info("fetched %d keys of the issuer", len(self._keys), extra={"action": "jwks_fetched"})
        finally:
            self._fetching = None

    async def _download(self) -> dict[str, Any]:
        if not self._address:
            issuer = self._settings.api_oidc_issuer
            found = await _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise ValueError(f"its configuration names the issuer {found.get('issuer')!r}, not {issuer!r}")
            self._address = secure_address(found["jwks_uri"])
        return await _get(self._address)


async def _get(address: str) -> dict[str, Any]:
    text = bytearray()
    # The settings allow https addresses only, and http on this machine, so redirects, which may lead to plain HTTP, are
    # not followed. The system's CAs are used instead of httpx's own, for private issuers.
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(verify=ssl.create_default_context(), follow_redirects=False, timeout=None) as client,  # noqa: S113 - asyncio.timeout above
        client.stream("GET", address, headers={"accept-encoding": "identity"}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{address} answers with {response.status_code}")
        # Read without decompression, which could expand to any size.
        async for part in response.aiter_raw():
            text += part
            if len(text) > _MAX_BYTES:
                raise ValueError(f"{address} answers with more than {_MAX_BYTES} bytes")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError(f"{address} does not answer with a JSON object")
    return document


def _describe(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its response has no {error}"
    if isinstance(error, TimeoutError):
        return f"no complete response within {TIMEOUT_SECONDS:.0f} s"
    return str(error) or type(error).__name__
