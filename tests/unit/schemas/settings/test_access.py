"""Settings of who may use the API: what would let the wrong ones in is an error that names the setting."""

from typing import Any

import pytest

from schemas.settings.access import AccessSettings
from schemas.settings.blocks import SettingsError

ISSUER = "https://id.example.org"


@pytest.mark.parametrize(
    ("host", "given", "is_open"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {}, True),
        ("::1", {}, True),
        ("0.0.0.0", {}, False),  # noqa: S104
        ("", {}, False),
        ("gateway", {}, False),
        ("192.168.0.7", {}, False),
        ("127.0.0.1", {"api_oidc_issuer": ISSUER, "api_oidc_audience": "gateway"}, False),
        ("127.0.0.1", {"api_auth": "required"}, False),
        ("0.0.0.0", {"api_auth": "open"}, True),  # noqa: S104
    ],
)
def test_the_api_is_open_on_loopback_only(host: str, given: dict[str, Any], is_open: object) -> None:
    assert AccessSettings(**given).is_open(host) is is_open


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_oidc_issuer": "http://id.example.org", "api_oidc_audience": "a"}, "API_OIDC_ISSUER: has to begin with"),
        ({"api_oidc_issuer": "file:///etc/passwd", "api_oidc_audience": "a"}, "API_OIDC_ISSUER: has to begin with"),
        ({"api_oidc_issuer": ISSUER}, "API_OIDC_AUDIENCE is not set"),
        ({"api_oidc_audience": "a"}, "API_OIDC_ISSUER is not set"),
        ({"api_cors_origins": "*"}, "API_CORS_ORIGINS: '\\*' is no origin"),
        ({"api_cors_origins": "https://a.example.org/"}, "API_CORS_ORIGINS: 'https://a.example.org/' is no origin"),
        ({"api_feed_recheck_seconds": 60}, "API_FEED_RECHECK_SECONDS"),
        ({"api_auth": "off"}, "API_AUTH"),
    ],
)
def test_unsafe_access_settings_are_an_error(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AccessSettings.load(**given)


def test_a_loopback_issuer_needs_no_tls() -> None:
    assert AccessSettings.load(api_oidc_issuer="http://127.0.0.1:9000", api_oidc_audience="a").api_oidc_issuer


def test_revocation_takes_at_most_a_minute_with_any_setting() -> None:
    most = AccessSettings.load(api_key_cache_seconds=30, api_feed_recheck_seconds=30)
    assert most.api_key_cache_seconds + most.api_feed_recheck_seconds <= 60
