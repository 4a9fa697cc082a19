"""The public keys of an OIDC issuer, by key id: fetched when they are needed, and anew when they may have changed."""

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
"""For a whole answer, however it comes: one that drips would keep all waiting who send a key id that is unknown."""
LASTS_SECONDS = 3600.0
"""How long keys hold whose issuer does not answer any more."""
_MOST_BYTES = 1_048_576


class IssuerUnavailableError(Exception):
    """The issuer does not tell its keys; the message says why."""


class Jwks:
    """What the issuer published last. An issuer that changes its keys is asked as soon as a new key id is seen."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._address = settings.api_oidc_jwks_uri
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._away = ""
        """Why the last try failed; empty where it did not."""

    async def find(self, key_id: str | None) -> dict[str, Any] | None:
        """Return a key (JWK); without an id, the only one there is. None where the issuer has no such key.

        Raises:
            IssuerAwayError: its keys are not known, or too old.
        """
        age, lasts = time.monotonic() - self._fetched, self._settings.api_oidc_jwks_seconds
        if age < LASTS_SECONDS and (found := self._known(key_id)) is not None:
            # Beside the requests: nobody waits for an issuer that is slow, or away. But where nobody asked for long
            # a key may have been removed long ago, and one request is all that its thief needs.
            if age > lasts:
                self._fetch()
            if age <= 2 * lasts or self._away:
                return found
        # Waited for by all who ask meanwhile, and gone on with when one of them leaves.
        if (fetching := self._fetch()) is not None:
            await asyncio.shield(fetching)
        if time.monotonic() - self._fetched >= LASTS_SECONDS:
            raise IssuerUnavailableError(f"the issuer's keys cannot be had: {self._away}; check API_OIDC_ISSUER")
        return self._known(key_id)

    def _known(self, key_id: str | None) -> dict[str, Any] | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _fetch(self) -> asyncio.Task[None] | None:
        """Begin to fetch, unless somebody does, or did a moment ago: made-up key ids must not reach the issuer."""
        if self._fetching is None and time.monotonic() - self._tried >= self._settings.api_oidc_refetch_seconds:
            self._tried = time.monotonic()
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
            self._away = _why(error)
            logger.warning("the issuer's keys cannot be had: %s", self._away, extra={"action": "jwks_failed"})
            self._address = self._settings.api_oidc_jwks_uri  # it may have moved
        else:
            self._fetched, self._away = time.monotonic(), ""
            logger.info("the issuer has %d keys", len(self._keys), extra={"action": "jwks_fetched"})
        finally:
            self._fetching = None

    async def _download(self) -> dict[str, Any]:
        if not self._address:
            issuer = self._settings.api_oidc_issuer
            found = await _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise ValueError(f"it calls itself {found.get('issuer')!r}, not {issuer!r}")
            self._address = secure_address(found["jwks_uri"])
        return await _get(self._address)


async def _get(address: str) -> dict[str, Any]:
    text = bytearray()
    # The settings take https addresses only, and http ones of this machine; a redirect might lead to plain HTTP. The
    # system's CAs, not those that the library brings along: the issuer may be one's own.
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(verify=ssl.create_default_context(), follow_redirects=False, timeout=None) as client,  # noqa: S113
        client.stream("GET", address, headers={"accept-encoding": "identity"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{address} answers with {answer.status_code}")
        # As it comes: what is packed could be any size.
        async for part in answer.aiter_raw():
            text += part
            if len(text) > _MOST_BYTES:
                raise ValueError(f"{address} answers with more than {_MOST_BYTES} bytes")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError(f"{address} answers with no JSON object")
    return document


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its answer has no {error}"
    if isinstance(error, TimeoutError):
        return f"no whole answer within {TIMEOUT_SECONDS:.0f} s"
    return str(error) or type(error).__name__
