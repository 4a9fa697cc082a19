"""What the doctor says of who may use the API."""

import pytest

from gateway.diagnostics.api_auth import check_api_access
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings
from tests.support.access import AUDIENCE, issuer, keys_of_all_roles


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, database: DatabaseSettings) -> None:
    for name, value in database.model_dump().items():
        shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        monkeypatch.setenv(name.upper(), str(shown))


async def test_a_reachable_api_requires_keys(monkeypatch: pytest.MonkeyPatch, database: DatabaseSettings) -> None:
    assert "on this machine only" in await check_api_access()
    monkeypatch.setenv("API_HOST", "0.0.0.0")  # noqa: S104
    with pytest.raises(GatewayError, match="gateway keys create"):
        await check_api_access()
    await keys_of_all_roles(database)
    assert await check_api_access() == "requires a key"
    monkeypatch.setenv("API_AUTH", "open")
    with pytest.raises(GatewayError, match="API_AUTH is open"):
        await check_api_access()


async def test_an_unreachable_issuer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuer() as oidc:
        monkeypatch.setenv("API_OIDC_ISSUER", oidc.address)
        monkeypatch.setenv("API_OIDC_AUDIENCE", AUDIENCE)
        assert oidc.address in await check_api_access()
        oidc.away = True
        with pytest.raises(GatewayError, match="API_OIDC_ISSUER"):
            await check_api_access()
