"""API keys before a real database: who may do what, from when on no longer, and what is written down."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio

from api.auth.api_keys import digest_of
from api.auth.permissions import PUBLIC_PATHS, ROUTE_ROLES
from api.queries.keys import fetch_key
from api.sse.session_expiry import end_expired_sessions
from gateway.keys.operations import revoke_keys
from gateway.stack.polling import wait_until
from runtime.database import Connection, Pool, connect_options
from schemas.base.access_role import AccessRole
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings
from tests.support.access import bearer, keys_of_all_roles
from tests.support.feed import feed
from tests.support.rest import api, assert_problem, serving
from tests.support.servers import Databases, connection

REQUIRED = AccessSettings(api_auth="required", api_key_cache_seconds=0.05, api_feed_recheck_seconds=0.05)
VEN = {"name": "Home", "location": {"lat": 37.4, "lon": -122.1}, "registrationId": "ven-a"}
EVENT = {"startTime": "2099-01-01T10:00:00Z", "endTime": "2099-01-01T11:00:00Z", "requestedReductionKw": 5}
NOWHERE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")


class AuthApi(NamedTuple):
    """An API that asks who it is, and a key of each role."""

    client: httpx.AsyncClient
    keys: dict[AccessRole, str]
    database: DatabaseSettings

    async def ask(self, method: str, path: str, role: AccessRole | None, body: Any = None) -> httpx.Response:
        headers = {} if role is None else bearer(self.keys[role])
        return await self.client.request(method, path, headers=headers, json=body)


@pytest_asyncio.fixture(scope="module")
async def house(databases: Databases) -> AsyncIterator[AuthApi]:
    database = await databases.migrated()
    async with api(database, access=REQUIRED.model_copy(update={"api_rate_per_second": 0})) as client:
        yield AuthApi(client, await keys_of_all_roles(database), database)


def path_of(template: str) -> str:
    """A path of a route, with ids that are nobody's."""
    parts = [part if not part.startswith("{") else "nobody" for part in template.split("/")]
    return "/".join(parts)


@pytest.mark.parametrize(
    ("route", "required_role"), ROUTE_ROLES.items(), ids=[" ".join(route) for route in ROUTE_ROLES]
)
async def test_every_route_asks_for_its_role(house: AuthApi, route: tuple[str, str], required_role: AccessRole) -> None:
    method, path = route[0], path_of(route[1])
    answer = await house.ask(method, path, None)
    assert "Bearer" in assert_problem(answer, 401)["detail"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="grid-event-gateway"'
    for role in AccessRole:
        if role.includes(required_role):
            continue
        answer = await house.ask(method, path, role)
        assert f"needs the role {required_role}" in assert_problem(answer, 403)["detail"]
        assert f'scope="{required_role}"' in answer.headers["www-authenticate"]
    if path != "/api/feed":  # it never ends
        assert (await house.ask(method, path, required_role)).status_code not in {401, 403}


@pytest.mark.parametrize("path", PUBLIC_PATHS)
async def test_what_is_open_needs_no_key(house: AuthApi, path: str) -> None:
    answer = await house.client.get(path.replace("{path:path}", "css/parts.css"))
    assert answer.status_code not in {401, 403}


async def test_what_is_not_there_is_told_to_those_who_may_know(house: AuthApi) -> None:
    for path in ("/api/nothing", "/nothing", "/api/vens/a/b/c/d"):
        assert_problem(await house.ask("GET", path, None), 401)
        assert_problem(await house.ask("GET", path, AccessRole.VIEWER), 404)
        assert_problem(await house.ask("DELETE", path, AccessRole.OPERATOR), 403)
    assert_problem(await house.ask("DELETE", "/api/vens//", AccessRole.VIEWER), 403)
    assert_problem(await house.client.get("/api//vens/"), 401)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic dTpw",
        "gek_x",
        "Bearer gek_",
        f"Bearer gek_{'x' * 43}",
        "Bearer gek_\xfc",
        "Bearer x",
    ],
)
async def test_what_is_no_key_is_401(house: AuthApi, header: str) -> None:
    answer = await house.client.get("/api/me", headers=[(b"authorization", header.encode("latin-1"))])
    assert_problem(answer, 401)


async def test_two_headers_that_say_who_asks_are_none(house: AuthApi) -> None:
    good, wrong = (("authorization", f"Bearer {key}") for key in (house.keys[AccessRole.ADMIN], "gek_x"))
    for headers in ([good, wrong], [wrong, good], [good, good]):
        assert_problem(await house.client.get("/api/me", headers=headers), 401)


async def test_a_body_is_not_read_before_it_is_known_who_sends_it(house: AuthApi) -> None:
    answer = await house.client.post("/api/events", content=b"{ no json")
    assert_problem(answer, 401)
    answer = await house.client.post("/api/events", content=b"{ no json", headers=bearer(house.keys[AccessRole.VIEWER]))
    assert_problem(answer, 403)


async def test_a_key_is_kept_as_its_digest_alone(house: AuthApi) -> None:
    key = house.keys[AccessRole.ADMIN]
    async with connection(house.database) as rows:
        (row,) = await rows.fetch("SELECT * FROM api_keys WHERE role = 'admin'")
        assert row["digest"] == digest_of(key)
        everything = await rows.fetch(
            "SELECT api_keys::text AS said FROM api_keys UNION ALL SELECT audit::text FROM audit"
        )
    assert not [each for each in everything if key in each["said"] or key.removeprefix("gek_") in each["said"]]
    assert len(key) > 43


async def test_what_is_done_is_written_down_with_who_did_it(house: AuthApi) -> None:
    async def audit(**query: Any) -> list[dict[str, Any]]:
        answer = await house.client.get("/api/audit", params=query, headers=bearer(house.keys[AccessRole.ADMIN]))
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    me = (await house.ask("GET", "/api/me", AccessRole.OPERATOR)).json()["id"]
    before = (await audit(limit=1))[0]["id"]
    headers = {**bearer(house.keys[AccessRole.OPERATOR]), "X-Request-ID": "ticket-17", "Idempotency-Key": "one"}
    created = await house.client.post("/api/events", json=EVENT, headers=headers)
    assert created.status_code == 201
    assert created.headers["x-request-id"] == "ticket-17"
    assert (await house.client.post("/api/events", json=EVENT, headers=headers)).json() == created.json()
    event = created.json()["id"]
    assert (await house.ask("POST", "/api/events", AccessRole.OPERATOR, {})).status_code == 422
    assert (await house.ask("POST", "/api/events", AccessRole.VIEWER, EVENT)).status_code == 403
    assert (await house.ask("POST", f"/api/events/{event}/stop", AccessRole.OPERATOR)).status_code == 202
    assert (await house.ask("POST", f"/api/events/{event}/stop", AccessRole.OPERATOR)).status_code == 409
    assert (await house.ask("DELETE", f"/api/events/{event}", AccessRole.ADMIN)).status_code == 204
    assert (await house.ask("POST", "/api/vens", AccessRole.OPERATOR, VEN)).status_code == 201
    sent = await house.ask("POST", "/api/vens/ven-a/commands", AccessRole.OPERATOR, {"op": "ping"})
    assert sent.status_code == 202
    assert (await house.ask("PATCH", "/api/vens/ven-a", AccessRole.OPERATOR, {"name": "Villa"})).status_code == 200
    assert (await house.ask("PATCH", "/api/vens/nobody", AccessRole.OPERATOR, {"name": "Villa"})).status_code == 404
    assert (await house.ask("DELETE", "/api/vens/ven-a", AccessRole.ADMIN)).status_code == 204
    assert (
        await house.ask("POST", "/api/dead-letters/replay", AccessRole.OPERATOR, {"venId": "ven-a"})
    ).status_code == 200
    rows = [row for row in await audit() if row["id"] > before][::-1]
    columns = ("role", "method", "path", "outcome", "status", "result")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("operator", "POST", "/api/events", "done", None, event),
        ("operator", "POST", "/api/events", "repeated", None, None),
        ("operator", "POST", "/api/events", "failed", 422, None),
        ("viewer", "POST", "/api/events", "denied", 403, None),
        ("operator", "POST", f"/api/events/{event}/stop", "done", None, None),
        ("operator", "POST", f"/api/events/{event}/stop", "failed", 409, None),
        ("admin", "DELETE", f"/api/events/{event}", "done", None, None),
        ("operator", "POST", "/api/vens", "done", None, "ven-a"),
        ("operator", "POST", "/api/vens/ven-a/commands", "done", None, sent.json()["correlationId"]),
        ("operator", "PATCH", "/api/vens/ven-a", "done", None, None),
        ("operator", "PATCH", "/api/vens/nobody", "failed", 404, None),
        ("admin", "DELETE", "/api/vens/ven-a", "done", None, None),
        ("operator", "POST", "/api/dead-letters/replay", "done", None, None),
    ]
    assert (rows[0]["who"], rows[0]["name"], rows[0]["by"]) == (me, "the operator", "key")
    assert (rows[0]["requestId"], rows[0]["address"]) == ("ticket-17", "127.0.0.1")
    # In pages, by person, and in an interval.
    mine = await audit(who=me)
    assert {row["who"] for row in mine} == {me}
    paged: list[dict[str, Any]] = []
    following: str | None = f"/api/audit?limit=2&who={me}&start=2020-01-01T00:00:00Z"
    while following:
        answer = await house.client.get(following, headers=bearer(house.keys[AccessRole.ADMIN]))
        paged += answer.json()
        following = answer.links["next"]["url"] if "next" in answer.links else None
    assert paged == mine
    assert await audit(end="2020-01-01T00:00:00Z") == []


async def test_what_fails_by_a_mistake_of_ours_is_in_the_audit_too(house: AuthApi) -> None:
    async with connection(house.database) as rows:
        last = await rows.fetchval("SELECT max(id) FROM audit")
        await rows.execute("ALTER TABLE events RENAME TO gone")
        try:
            answer = await house.ask("POST", "/api/events", AccessRole.OPERATOR, EVENT)
        finally:
            await rows.execute("ALTER TABLE gone RENAME TO events")
        assert "server's log" in assert_problem(answer, 500)["detail"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        (row,) = await rows.fetch("SELECT role, path, outcome, status, request_id FROM audit WHERE id > $1", last)
    assert tuple(row) == ("operator", "/api/events", "failed", 500, answer.headers["x-request-id"])


async def test_an_entry_is_small_whatever_is_asked(house: AuthApi) -> None:
    async with connection(house.database) as rows:
        last = await rows.fetchval("SELECT max(id) FROM audit")
        assert_problem(await house.ask("X" * 4000, "/" + "y" * 4000, AccessRole.VIEWER), 403)
        (row,) = await rows.fetch("SELECT * FROM audit WHERE id > $1", last)
    assert len(str(row)) < 2000


async def test_what_cannot_be_written_down_is_not_done(house: AuthApi) -> None:
    async with connection(house.database) as rows:
        await rows.execute("ALTER TABLE audit RENAME TO gone")
        try:
            answer = await house.ask("POST", "/api/events", AccessRole.OPERATOR, EVENT)
            assert answer.status_code == 500
        finally:
            await rows.execute("ALTER TABLE gone RENAME TO audit")
        assert await rows.fetchval("SELECT count(*) FROM events WHERE deleted_at IS NULL") == 0


async def test_a_revoked_key_opens_nothing_and_its_feed_ends(database: DatabaseSettings) -> None:
    keys = await keys_of_all_roles(database)
    async with serving(database, access=REQUIRED) as (client, app):
        client.headers.update(bearer(keys[AccessRole.VIEWER]))
        key_id = (await client.get("/api/me")).json()["id"]
        async with feed(client) as told, feed(client) as _, httpx.AsyncClient(base_url=client.base_url) as admin:
            admin.headers.update(bearer(keys[AccessRole.ADMIN]))
            async with feed(admin):
                assert len(app.state.feed.clients) == 3
                await revoke_keys(app.state.pool, [key_id])
                with pytest.raises(EOFError):
                    await told.until(lambda _: False)
                assert_problem(await client.get("/api/me"), 401)
                # The other one may have begun during the look before.
                assert await wait_until(
                    lambda: {each.principal.role for each in app.state.feed.clients} == {AccessRole.ADMIN}, 60
                )


async def test_a_revoked_key_ends_its_feed_also_while_requests_take_all_connections(database: DatabaseSettings) -> None:
    keys = await keys_of_all_roles(database)
    async with serving(database, access=REQUIRED, api_pool_size=2) as (client, app):
        client.headers.update(bearer(keys[AccessRole.VIEWER]))
        key_id = (await client.get("/api/me")).json()["id"]
        async with (
            feed(client) as told,
            asyncpg.create_pool(**connect_options(database, "test"), min_size=0) as pool,
            app.state.pool.acquire(),
            app.state.pool.acquire(),
        ):
            await revoke_keys(pool, [key_id])
            with pytest.raises(EOFError):
                async with asyncio.timeout(20):
                    await told.until(lambda _: False)


async def test_a_feed_whose_key_cannot_be_looked_up_goes_on_for_a_while_only(
    database: DatabaseSettings, rows: Connection
) -> None:
    keys = await keys_of_all_roles(database)
    access = REQUIRED.model_copy(update={"api_feed_recheck_seconds": 30})
    async with (
        serving(database, access=access) as (client, app),
        feed(client_with(client, keys[AccessRole.VIEWER])) as told,
    ):
        (listener,) = app.state.feed.clients
        await rows.execute("ALTER VIEW valid_api_keys RENAME TO gone")
        await end_expired_sessions(app.state.feed, app.state.pool, 30)
        assert not listener.closed
        await rows.execute("ALTER VIEW gone RENAME TO valid_api_keys")
        before = listener.valid_at
        await end_expired_sessions(app.state.feed, app.state.pool, 0)
        assert listener.valid_at > before
        await rows.execute("ALTER VIEW valid_api_keys RENAME TO gone")
        await end_expired_sessions(app.state.feed, app.state.pool, 0)
        with pytest.raises(EOFError):
            await told.until(lambda _: False)


def client_with(client: httpx.AsyncClient, key: str) -> httpx.AsyncClient:
    client.headers.update(bearer(key))
    return client


async def test_a_key_ends_at_its_time(database: DatabaseSettings, rows: Connection) -> None:
    keys = await keys_of_all_roles(database)
    async with api(database, access=REQUIRED.model_copy(update={"api_key_cache_seconds": 30})) as client:
        headers = bearer(keys[AccessRole.VIEWER])
        await rows.execute("UPDATE api_keys SET expires_at = now() + interval '2 seconds' WHERE role = 'viewer'")
        async with feed(client_with(client, keys[AccessRole.VIEWER])) as told:
            with pytest.raises(EOFError):
                await told.until(lambda _: False)
        # Though it is remembered for longer.
        assert_problem(await client.get("/api/me", headers=headers), 401)


async def test_too_many_requests_of_one_key_are_429(database: DatabaseSettings) -> None:
    keys = await keys_of_all_roles(database)
    access = REQUIRED.model_copy(update={"api_rate_per_second": 0.01, "api_rate_burst": 3})
    async with api(database, access=access) as client:
        for _ in range(3):
            assert (await client.get("/api/me", headers=bearer(keys[AccessRole.VIEWER]))).status_code == 200
        answer = await client.get("/api/me", headers=bearer(keys[AccessRole.VIEWER]))
        assert "API_RATE_PER_SECOND" in assert_problem(answer, 429)["detail"]
        assert 50 < int(answer.headers["retry-after"]) <= 100
        assert (await client.get("/api/me", headers=bearer(keys[AccessRole.ADMIN]))).status_code == 200


async def test_who_tries_what_the_role_may_not_fills_no_database(
    database: DatabaseSettings, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.middleware.DENIED_BURST", 3)
    monkeypatch.setattr("api.auth.middleware.DENIED_PER_SECOND", 0.01)
    keys = await keys_of_all_roles(database)
    async with api(database, access=REQUIRED) as client:
        viewer = bearer(keys[AccessRole.VIEWER])
        statuses = [(await client.post("/api/events", headers=viewer)).status_code for _ in range(6)]
        assert statuses == [403] * 3 + [429] * 3
        assert await rows.fetchval("SELECT count(*) FROM audit WHERE outcome = 'denied'") == 3
        assert (await client.get("/api/me", headers=viewer)).status_code == 200


async def test_who_tries_keys_is_slowed_down_and_who_has_one_is_not(
    database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.authentication.INVALID_KEYS_PER_SECOND", 0.01)
    keys = await keys_of_all_roles(database)
    async with api(database, access=REQUIRED) as client:
        good = bearer(keys[AccessRole.VIEWER])
        assert (await client.get("/api/me", headers=good)).status_code == 200
        statuses = [
            (await client.get("/api/me", headers=bearer(f"gek_wrong-{number}"))).status_code for number in range(25)
        ]
        assert statuses == [401] * 20 + [429] * 5
        assert (await client.get("/api/me", headers=good)).status_code == 200


async def test_who_tries_many_keys_at_once_has_no_more_of_them_looked_up(
    database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = 0

    async def counted(pool: Pool, digest: bytes) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await fetch_key(pool, digest)

    monkeypatch.setattr("api.auth.api_keys.fetch_key", counted)
    monkeypatch.setattr("api.auth.authentication.INVALID_KEYS_PER_SECOND", 0.01)
    good = (await keys_of_all_roles(database))[AccessRole.VIEWER]
    async with api(database, access=REQUIRED) as client:
        # All before the first is answered; those who share a key that holds are let through, however many they are.
        mine = [client.get("/api/me", headers=bearer(good)) for _ in range(20)]
        wrong = [client.get("/api/me", headers=bearer(f"gek_{number}")) for number in range(70)]
        statuses = [answer.status_code for answer in await asyncio.gather(*mine, *wrong)]
    assert statuses[:20] == [200] * 20
    assert set(statuses[20:]) == {401, 429}
    assert looked_up < 20 + 20 + 10


async def test_without_the_database_nobody_is_let_in() -> None:
    async with api(NOWHERE, access=REQUIRED) as client:
        answer = await client.get("/api/me", headers=bearer("gek_something"))
        assert "the key cannot be checked" in assert_problem(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        assert (await client.get("/health")).json() == {"status": "ok"}
