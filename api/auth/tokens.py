"""Bearer tokens (JWT) of an OIDC issuer."""

from typing import Any

import jwt

from api.auth.jwks import Jwks
from api.auth.principal import Principal
from schemas.base.access_role import AccessRole, highest
from schemas.settings.access import AccessSettings

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Asymmetric ones only. With `none` anybody could make tokens, with HS256 whoever knows the public key."""
_MOST_NAME = 255
_LAST = 253_402_300_799 - 86_400
"""The end of the last year that can be written down, and no token needs."""


class BadTokenError(Exception):
    """The token does not hold; the message says why."""


class NoRoleError(Exception):
    """The token holds, and gives no role here."""


class Tokens:
    """Reads tokens. Their claims say who asks until when, and which role they have."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._jwks = Jwks(settings)
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})

    async def read(self, text: str) -> Principal:
        """Return who a token says it is.

        Raises:
            BadTokenError: it does not hold.
            NoRoleError: it gives no role.
            IssuerAwayError: nobody can tell, for the issuer's keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(text)
            # Before a key is looked for: what is not signed as it should be makes nobody ask the issuer.
            if header.get("alg") not in ALGORITHMS:
                raise BadTokenError(f"the token is signed by {header.get('alg')!r}, which is not accepted")
            claims = self._claims(text, header["alg"], await self._jwks.find(header.get("kid")))
        except jwt.ExpiredSignatureError:
            raise BadTokenError("the token has expired") from None
        # The others are of headers and claims that are no such thing; the header may be anybody's.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            why = _printable(str(error).lower()) or type(error).__name__
            raise BadTokenError(f"the token does not hold: {why}") from None
        until = min(int(claims["exp"]), _LAST) + self._settings.api_oidc_clock_skew_seconds
        role = self._role(claims)
        if role is None:
            raise NoRoleError(
                f"the claim {self._settings.api_oidc_role_claim!r} of the token names no role of this gateway"
            )
        name = claims.get("preferred_username") or claims.get("email") or claims.get("name") or claims["sub"]
        return Principal(f"token:{_printable(claims['sub'])}", _printable(str(name)), role, "token", until)

    def _claims(self, text: str, algorithm: str, key: dict[str, Any] | None) -> dict[str, Any]:
        if key is None:
            raise BadTokenError("the token is signed with a key that the issuer does not have")
        if key.get("alg", algorithm) != algorithm:
            raise BadTokenError(f"the token is signed by {algorithm}, and its key is for {key['alg']}")
        claims: dict[str, Any] = self._jwt.decode(
            text,
            # Of the kind of key that the algorithm has: it refuses to make, say, an RSA key of a shared secret.
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            audience=self._settings.api_oidc_audience,
            issuer=self._settings.api_oidc_issuer,
            leeway=self._settings.api_oidc_clock_skew_seconds,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    def _role(self, claims: dict[str, Any]) -> AccessRole | None:
        prefix = self._settings.api_oidc_role_prefix
        given = _values(claims, self._settings.api_oidc_role_claim)
        names = {value.removeprefix(prefix) for value in given if value.startswith(prefix)}
        return highest([role for role in AccessRole if role in names])


def _printable(text: str) -> str:
    """Return what can be shown, logged and stored of a text that the issuer may have from anybody."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:_MOST_NAME])


def _values(claims: dict[str, Any], path: str) -> list[str]:
    """Return the texts of a claim: a list, or words with spaces between; dots lead into claims that are objects."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split()
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
