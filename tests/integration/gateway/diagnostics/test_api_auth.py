"""What the doctor says of who may use the API."""

import pytest

from gateway.diagnostics.api_auth import who_may_use_the_api
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings
from tests.support.access import AUDIENCE, issuer, keys_of_all_roles


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, database: DatabaseSettings) -> None:
    for name, value in database.model_dump().items():
        shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        monkeypatch.setenv(name.upper(), str(shown))


async def test_keys_are_asked_for_where_others_reach_it(
    monkeypatch: pytest.MonkeyPatch, database: DatabaseSettings
) -> None:
    assert "on this machine, and to nobody else" in await who_may_use_the_api()
    monkeypatch.setenv("API_HOST", "0.0.0.0")  # noqa: S104
    with pytest.raises(GatewayError, match="gateway keys create"):
        await who_may_use_the_api()
    await keys_of_all_roles(database)
    assert await who_may_use_the_api() == "asks for a key"
    monkeypatch.setenv("API_AUTH", "open")
    with pytest.raises(GatewayError, match="API_AUTH is open"):
        await who_may_use_the_api()


async def test_an_issuer_has_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuer() as oidc:
        monkeypatch.setenv("API_OIDC_ISSUER", oidc.address)
        monkeypatch.setenv("API_OIDC_AUDIENCE", AUDIENCE)
        assert oidc.address in await who_may_use_the_api()
        oidc.away = True
        with pytest.raises(GatewayError, match="API_OIDC_ISSUER"):
            await who_may_use_the_api()
