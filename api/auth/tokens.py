"""Bearer tokens (JWT) of an OIDC issuer."""

from typing import Any

import jwt

from api.auth.jwks import Jwks
from api.auth.principal import Principal
from schemas.base.access_role import AccessRole, highest
from schemas.settings.access import AccessSettings

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Asymmetric algorithms only: with `none` anybody could create tokens, with HS256 whoever knows the public key."""
_MAX_NAME_LENGTH = 255
_LATEST_EXPIRY = 253_402_300_799 - 86_400
"""Unix seconds: a day before the last time that `datetime` can represent."""


class InvalidTokenError(Exception):
    """The token is not valid; the message says why."""


class NoRoleError(Exception):
    """The token is valid but contains no access role of this gateway."""


class Tokens:
    """Validates tokens. The claims contain the client, its access role and the expiry."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._jwks = Jwks(settings)
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})

    async def read(self, text: str) -> Principal:
        """Return the principal of a valid token.

        Raises:
            InvalidTokenError: it is not valid.
            NoRoleError: it contains no role.
            IssuerAwayError: the issuer's keys are not available.
        """
        try:
            header = jwt.get_unverified_header(text)
            # Checked first, so that such a token cannot cause a request to the issuer.
            if header.get("alg") not in ALGORITHMS:
                raise InvalidTokenError(f"the token is signed by {header.get('alg')!r}, which is not accepted")
            claims = self._claims(text, header["alg"], await self._jwks.find(header.get("kid")))
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("the token has expired") from None
        # The other errors come from malformed headers and claims; anybody can write a header.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            reason = _printable(str(error).lower()) or type(error).__name__
            raise InvalidTokenError(f"the token is not valid: {reason}") from None
        expires_at = min(int(claims["exp"]), _LATEST_EXPIRY) + self._settings.api_oidc_clock_skew_seconds
        role = self._role(claims)
        if role is None:
            raise NoRoleError(
                f"the claim {self._settings.api_oidc_role_claim!r} of the token names no role of this gateway"
            )
        name = claims.get("preferred_username") or claims.get("email") or claims.get("name") or claims["sub"]
        return Principal(f"token:{_printable(claims['sub'])}", _printable(str(name)), role, "token", expires_at)

    def _claims(self, text: str, algorithm: str, key: dict[str, Any] | None) -> dict[str, Any]:
        if key is None:
            raise InvalidTokenError("the token is signed with a key that the issuer does not publish")
        if key.get("alg", algorithm) != algorithm:
            raise InvalidTokenError(f"the token is signed by {algorithm}, and its key is for {key['alg']}")
        claims: dict[str, Any] = self._jwt.decode(
            text,
            # The algorithm determines the kind of key: a shared secret is not accepted as, say, an RSA key.
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
    """Return a text from the issuer, which may contain anything, so that it can be shown, logged and stored."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:_MAX_NAME_LENGTH])


def _values(claims: dict[str, Any], path: str) -> list[str]:
    """Return the texts of a claim, a list or words separated by spaces; dots in `path` select fields of objects."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split()
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
