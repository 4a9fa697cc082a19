"""Health, live totals, and what the API says while the servers behind it are away."""

import time
from datetime import UTC, datetime

import pytest

from gateway.stack.polling import wait_until
from gateway.stack.postgres import Postgres
from migrations.run import migrate
from schemas.records.network import NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.records.topics import STATS
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.kafka_records import writer
from tests.support.readings import reading, stores
from tests.support.rest import api, assert_problem
from tests.support.servers import Topics, frozen, settings_of

WAIT = 60


def totals(household: float) -> bytes:
    return encode_record(NetworkTotals(datetime(2025, 1, 1, tzinfo=UTC), Totals(3, household, 1.5, 6.0, 4.5)))


async def test_live_totals_come_from_the_log(database: DatabaseSettings, kafka: KafkaSettings) -> None:
    topic = kafka.topics(STATS)
    async with stores(database) as store, writer(kafka) as log:
        await store.readings.store([reading(f"ven-{number}") for number in range(4)])
        await log.one(topic, totals(1.0), key=b"network")
        await log.one(topic, totals(30.0), key=b"network")
        async with api(database, kafka) as client:

            async def household(expected: float) -> bool:
                answer = await client.get("/api/stats/network/")
                return answer.status_code == 200 and answer.json()["householdUsageKw"] == expected

            assert await wait_until(lambda: household(30.0), WAIT)
            stats = (await client.get("/api/stats/network")).json()
            # It is read from the database beside the totals.
            assert stats.pop("totalHousePowerToday", 0.0) == 0.0
            assert stats == {
                "venCount": 4,
                "onlineVens": 3,
                "controllablePowerKw": 6.0,
                "potentialLoadReductionKw": 4.5,
                "householdUsageKw": 30.0,
                "currentLoadReductionKw": 1.5,
                "networkEfficiency": 75.0,
                "averageHousePower": 10.0,
                "asOf": "2025-01-01T00:00:00Z",
            }
            assert (await client.get("/health/ready/")).json() == {
                "status": "ok",
                "checks": {"database": True, "totals": True},
            }
            await log.one(topic, b"not totals", key=b"network")
            await log.one(topic, totals(60.0), key=b"network")
            assert await wait_until(lambda: household(60.0), WAIT)


async def test_before_any_totals_there_are_none(database: DatabaseSettings, topics: Topics) -> None:
    """The topic is not even there when the API starts; it is followed once it is."""
    kafka = topics.settings()
    async with api(database, kafka) as client:
        answer = await client.get("/api/stats/network")
        assert "live" in assert_problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) > 0
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"status": "unavailable", "checks": {"database": True, "totals": False}}


async def test_the_api_starts_and_answers_without_the_log(database: DatabaseSettings) -> None:
    async with api(database) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        assert (await client.get("/api/vens")).json() == []
        assert_problem(await client.get("/api/stats/network"), 503)


async def test_while_the_database_is_down_answers_are_503_and_come_back(postgres: Postgres) -> None:
    await postgres.start()
    settings = settings_of(postgres)
    await migrate(settings)
    async with stores(settings) as store:
        await store.readings.store([reading()])
    async with api(settings) as client:
        paths = ("/api/vens", "/api/vens/ven-1", "/api/vens/ven-1/telemetry", "/health/db-check")
        for path in paths:
            assert (await client.get(path)).status_code == 200
        await postgres.kill()
        for path in paths * 2:
            answer = await client.get(path)
            assert_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/ready")).json()["checks"]["database"] is False
        assert (await client.get("/health/live")).status_code == 200
        await postgres.start()
        for path in paths:
            assert (await client.get(path)).status_code == 200


async def test_health_says_soon_that_the_database_hangs(postgres: Postgres) -> None:
    await postgres.start()
    async with api(settings_of(postgres)) as client:
        assert (await client.get("/health/db-check")).status_code == 200
        with frozen(postgres):
            began = time.monotonic()
            assert (await client.get("/health/ready")).json()["checks"]["database"] is False
            assert time.monotonic() - began < 15
        assert (await client.get("/health/db-check")).status_code == 200


async def test_the_api_starts_before_the_database_does(postgres: Postgres) -> None:
    nowhere = DatabaseSettings(db_host=postgres.host, db_port=postgres.port, db_user="gateway", db_name="gateway")
    async with api(nowhere) as client:
        assert_problem(await client.get("/api/vens"), 503)
        assert_problem(await client.get("/health/db-check"), 503)


@pytest.mark.parametrize("host", ["[", "a b", "x" * 300])
async def test_odd_host_headers_get_a_problem_too(database: DatabaseSettings, host: str) -> None:
    async with api(database) as client:
        assert_problem(await client.get("/api/vens/nobody", headers={"host": host}), 403)
    async with api(database, api_host="0.0.0.0", access=AccessSettings(api_auth="open")) as client:  # noqa: S104
        assert_problem(await client.get("/api/vens/nobody", headers={"host": host}), 404)
