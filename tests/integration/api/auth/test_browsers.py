"""What browsers are told: headers of every answer, pages of elsewhere, an API that is open to this machine alone."""

import httpx
import pytest

from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings
from tests.support.rest import api, assert_problem

NOWHERE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")
OURS = "https://dashboard.example.org"
THEIRS = "https://elsewhere.example.org"


@pytest.mark.parametrize("path", ["/", "/docs", "/page/js/main.js", "/health", "/api/nothing", "/openapi.json"])
async def test_every_answer_has_the_headers(path: str) -> None:
    async with api(NOWHERE) as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-request-id"]
    assert (headers.get("cache-control") == "no-store") == path.startswith("/api")


async def test_only_origins_that_are_listed_may_read_answers() -> None:
    access = AccessSettings(api_auth="required", api_cors_origins=f"{OURS}, http://127.0.0.1:3000")
    async with api(NOWHERE, access=access) as client:
        asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        allowed = await client.options("/api/events", headers={"origin": OURS, **asks})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == OURS
        assert "access-control-allow-credentials" not in allowed.headers
        refused = await client.options("/api/events", headers={"origin": THEIRS, **asks})
        assert "access-control-allow-origin" not in refused.headers
        answer = await client.get("/api/me", headers={"origin": OURS})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "access-control-allow-origin" not in (await client.get("/api/me", headers={"origin": THEIRS})).headers


async def test_a_page_of_elsewhere_changes_nothing_in_an_open_api() -> None:
    access = AccessSettings(api_cors_origins=OURS)
    async with api(NOWHERE, access=access) as client:
        for origin in (THEIRS, "null", "http://127.0.0.1:1"):
            answer = await client.post("/api/events/evt-1/stop", headers={"origin": origin})
            assert "API_CORS_ORIGINS" in assert_problem(answer, 403)["detail"]
        own = str(client.base_url).rstrip("/")
        for headers in ({}, {"origin": own}, {"origin": OURS}):
            # It gets as far as the database, which is away.
            assert_problem(await client.post("/api/events/evt-1/stop", headers=headers), 503)


async def test_a_foreign_name_for_this_machine_is_not_answered_to() -> None:
    async with api(NOWHERE) as client:
        for host in ("evil.example.org", "evil.example.org:8000", "10.0.0.1:8000"):
            assert "API_AUTH" in assert_problem(await client.get("/api/me", headers={"host": host}), 403)["detail"]
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            answer = await client.get("/api/me", headers={"host": host})
            assert (answer.status_code, answer.json()["by"], answer.json()["role"]) == (200, "open", "admin")


async def test_what_a_proxy_brings_from_elsewhere_is_not_the_machines_own() -> None:
    async with api(NOWHERE) as client:
        for address in ("203.0.113.7", "127.0.0.1, 203.0.113.7", "2001:db8::7", "unknown"):
            answer = await client.get("/api/me", headers={"x-forwarded-for": address})
            assert "API_AUTH=required" in assert_problem(answer, 403)["detail"]
        answer = await client.get("/api/me", headers={"x-forwarded-for": "127.0.0.1"})
        assert answer.json()["role"] == "admin"


async def test_an_api_that_is_forced_open_says_so_in_its_health() -> None:
    async with api(NOWHERE, api_host="0.0.0.0", access=AccessSettings(api_auth="open")) as client:  # noqa: S104
        (warning,) = (await client.get("/health")).json()["warnings"]
        assert "API_AUTH" in warning
        assert (await client.get("/api/me", headers={"host": "gateway.example.org"})).status_code == 200
        assert_problem(await client.post("/api/events/evt-1/stop", headers={"origin": THEIRS}), 403)


async def test_on_another_address_keys_are_required_without_any_setting() -> None:
    async with api(NOWHERE, api_host="0.0.0.0") as client:  # noqa: S104
        assert_problem(await client.get("/api/me"), 401)
        assert (await client.get("/metrics")).status_code == 401
    async with api(NOWHERE, api_host="0.0.0.0", access=AccessSettings(api_metrics_open=True)) as client:  # noqa: S104
        assert (await client.get("/metrics")).status_code == httpx.codes.OK
        assert (await client.post("/metrics")).status_code == 401
