"""The demo and the benchmarks ask the API that they run, whatever another one on this machine is told."""

from pathlib import Path

import pytest

from gateway.local.api_auth import local_api_settings
from gateway.local.system import System
from schemas.base.errors import GatewayError

ISSUER = {"API_OIDC_ISSUER": "https://id.example.org", "API_OIDC_AUDIENCE": "gateway"}


@pytest.mark.parametrize(
    ("environment", "settings", "said"),
    [
        ({}, {}, []),
        (ISSUER, {"API_AUTH": "open"}, ["API_OIDC_ISSUER is passed over"]),
        ({"API_HOST": "0.0.0.0", "API_AUTH": "open"}, {}, []),  # noqa: S104
    ],
    ids=str,
)
def test_local_api_is_open_and_says_so(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], settings: dict[str, str], said: list[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told: list[str] = []
    assert local_api_settings(told.append) == settings
    assert [line[: len(beginning)] for line, beginning in zip(told, said, strict=True)] == said


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"API_AUTH": "required"}, "set API_AUTH=auto"),
        ({"API_HOST": "0.0.0.0"}, "set API_HOST=127.0.0.1"),  # noqa: S104
        ({"API_HOST": "0.0.0.0", **ISSUER}, "set API_HOST=127.0.0.1"),  # noqa: S104
    ],
    ids=str,
)
def test_required_auth_is_an_error(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GatewayError, match=message):
        local_api_settings(lambda _: None)


def test_system_knows_whether_its_api_requires_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(tmp_path / "data")
    system._env = {"API_HOST": "127.0.0.1"}
    assert not system.requires_login
    for name, value in ISSUER.items():
        monkeypatch.setenv(name, value)
    assert system.requires_login
    system._env["API_AUTH"] = "open"
    assert not system.requires_login
