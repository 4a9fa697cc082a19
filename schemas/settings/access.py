"""Settings of who may use the API, how much, and from which pages."""

from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from schemas.settings.blocks import Block

REVOKED_SECONDS = 60.0
"""How long after its end a key may still open anything."""


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens on an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def secure_address(value: str) -> str:
    """Return the address of an issuer.

    Raises:
        ValueError: what it answers can be changed on the way.
    """
    address = urlsplit(value)
    if address.scheme == "https" or (address.scheme == "http" and is_loopback(address.hostname or "")):
        return value
    raise ValueError("has to begin with https://; whoever could change what it answers could make tokens")


class AccessSettings(Block):
    """`auto` is open on loopback, where no issuer is set; on every other address keys or tokens are required."""

    api_auth: Literal["auto", "required", "open"] = "auto"
    api_metrics_open: bool = False
    # How long a key that was looked up is taken for good, and how often those who follow the feed are looked at anew:
    # together they keep the promise that a revoked key ends within a minute.
    api_key_cache_seconds: float = Field(5, ge=0, le=30)
    api_feed_recheck_seconds: float = Field(20, gt=0, le=30)
    # Requests of one key, token or address in one process; 0 is without a limit.
    api_rate_per_second: float = Field(100, ge=0, le=1_000_000)
    api_rate_burst: int = Field(500, ge=1, le=1_000_000)
    api_cors_origins: str = ""
    api_oidc_issuer: str = ""
    api_oidc_audience: str = ""
    api_oidc_jwks_uri: str = ""
    api_oidc_role_claim: str = "roles"
    api_oidc_role_prefix: str = ""
    api_oidc_clock_skew_seconds: float = Field(30, ge=0, le=300)
    # The issuer's keys are asked for anew when they are so old, and for a key id that is unknown; never more often
    # than the second says.
    api_oidc_jwks_seconds: float = Field(300, gt=0, le=86_400)
    api_oidc_refetch_seconds: float = Field(5, gt=0, le=300)

    @field_validator("api_oidc_issuer", "api_oidc_jwks_uri")
    @classmethod
    def _cannot_be_listened_to(cls, value: str) -> str:
        return secure_address(value) if value else value

    @field_validator("api_cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in split_list(value):
            address = urlsplit(origin)
            if address.scheme not in {"http", "https"} or origin != f"{address.scheme}://{address.netloc}".lower():
                raise ValueError(f"{origin!r} is no origin; write it as https://dashboard.example.org, without a path")
        return value

    @model_validator(mode="after")
    def _check_token_settings(self) -> Self:
        if self.api_oidc_issuer and not self.api_oidc_audience:
            raise ValueError("API_OIDC_AUDIENCE is not set; without it a token for any other service would do here")
        if not self.api_oidc_issuer and (self.api_oidc_audience or self.api_oidc_jwks_uri):
            raise ValueError("API_OIDC_ISSUER is not set; the other settings of OIDC mean nothing without it")
        return self

    @property
    def cors_origins(self) -> list[str]:
        """The origins whose pages may use the API."""
        return split_list(self.api_cors_origins)

    def is_open(self, host: str) -> bool:
        """Say whether everybody may do everything, where the API listens on `host`."""
        if self.api_auth == "auto":
            return is_loopback(host) and not self.api_oidc_issuer
        return self.api_auth == "open"


def split_list(text: str) -> list[str]:
    """Return what is separated by commas."""
    return [part for part in (each.strip() for each in text.split(",")) if part]
