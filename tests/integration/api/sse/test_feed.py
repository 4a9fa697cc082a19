"""The feed of a real API: what the log and the tables tell, resumption, and clients that do not read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api.sse import commands, events
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.parsing.status import VenStatus
from schemas.records.network import NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.records.topics import STATS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from streams.store.ven_status import record_status
from tests.support.dead_letter_rows import dead_letter, insert
from tests.support.feed import Feed, FeedEvent, feed
from tests.support.kafka_records import writer
from tests.support.metrics import parsed
from tests.support.readings import reading, stores
from tests.support.rest import api, assert_problem, serving

INSERT_EVENT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, started_at)
VALUES ($1, now() - interval '1 minute', now() + interval '1 hour', 5, now())
"""
INSERT_COMMAND = """
INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, phase) VALUES ($1, $2, $3, $4, '{}', $3)
"""
INSERT_COMMANDS = """
INSERT INTO commands (correlation_id, ven_id, op, payload)
SELECT $1 || '-' || n, 'ven-' || n, 'ping', '{}' FROM generate_series(1, $2) AS n
"""
INSERT_PLANNED = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw)
SELECT $1, day, day + interval '1 hour', 5 FROM (SELECT now() + make_interval(days => 1 + $2) AS day) AS days
"""


async def listening(follower: Feed, rows: Connection) -> None:
    """Wait until changes are told: make one and wait for it."""
    await rows.execute(INSERT_EVENT.replace("5, now())", "1, now())"), "evt-marker")
    await follower.until(lambda item: item.kind == "event" and item.data["id"] == "evt-marker")


@asynccontextmanager
async def followed(client: httpx.AsyncClient, rows: Connection, **query: str) -> AsyncIterator[Feed]:
    async with feed(client, **query) as follower:
        await listening(follower, rows)
        yield follower


def is_told(state: str) -> Callable[[FeedEvent], bool]:
    """Whether a command is told to be in a state."""
    return lambda item: item.kind == "commands" and state in [each["state"] for each in item.data["commands"]]


async def test_totals_are_told_as_they_come(database: DatabaseSettings, kafka: KafkaSettings) -> None:
    async with writer(kafka) as log, serving(database, kafka) as (client, app):
        # The energy of the day might else be known in the second of two answers, and not yet in the first.
        assert await wait_until(lambda: app.state.energy_today._energy is not None, 60)
        async with feed(client, types="totals") as follower:
            for online in (3, 4):
                totals = NetworkTotals(datetime.now(UTC), Totals(online, 24.6, 14.4, 6.3, 6.3))
                await log.one(kafka.topics(STATS), encode_record(totals), key=b"network")
                told = await follower.next()
                assert (told.kind, told.data["onlineVens"]) == ("totals", online)
                assert told.data == (await client.get("/api/stats/network")).json()


async def test_an_event_and_its_commands_are_told_until_it_is_gone(
    database: DatabaseSettings, rows: Connection
) -> None:
    async with api(database) as client, followed(client, rows, types="event,commands") as follower:
        await rows.execute(INSERT_EVENT, "evt-1")
        first = await follower.until(lambda item: item.kind == "event" and item.data["id"] == "evt-1")
        assert first.data["status"] == "active"
        await rows.execute(INSERT_COMMAND, "c-1", "ven-1", "event", "evt-1")
        decided = await follower.until(lambda item: item.kind == "commands")
        assert [(each["correlationId"], each["state"]) for each in decided.data["commands"]] == [("c-1", "decided")]
        await rows.execute("UPDATE commands SET sent_at = now(), logged_at = now()")
        told = await follower.until(lambda item: item.kind == "event" and item.data["funnel"]["sent"] == 1)
        assert told.data["funnel"]["targeted"] == 1
        # Events and commands are looked at apart.
        await follower.has(is_told("sent"))
        # What changes nothing of a command's state is told nobody.
        await rows.execute("UPDATE commands SET monitored = false")
        await rows.execute("UPDATE commands SET acked_at = now(), ack_status = 'accepted'")
        await follower.until(lambda item: item.kind == "event" and item.data["funnel"]["acknowledged"] == 1)
        await follower.has(is_told("acknowledged"))
        assert (await client.delete("/api/events/evt-1")).status_code == 204
        await follower.until(lambda item: item.kind == "event" and item.data["status"] == "deleted")
        states = [
            each["state"] for told in follower.events if told.kind == "commands" for each in told.data["commands"]
        ]
        assert states == ["decided", "sent", "acknowledged"]


async def test_of_a_wave_of_commands_each_is_told_once(
    database: DatabaseSettings, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST_AT_ONCE", 100)
    async with api(database) as client, followed(client, rows, types="event,commands") as follower:
        await rows.execute(INSERT_COMMANDS, "c", 350)
        told: list[str] = []
        while len(told) < 350:
            item = await follower.until(lambda item: item.kind == "commands")
            told += [each["correlationId"] for each in item.data["commands"]]
        # Those are looked at again for some seconds, and told no more.
        await rows.execute(INSERT_COMMANDS, "d", 1)
        last = await follower.until(lambda item: item.kind == "commands")
        assert [each["correlationId"] for each in last.data["commands"]] == ["d-1"]
    assert sorted(told) == sorted(f"c-{number}" for number in range(1, 351))


async def test_an_event_that_is_active_is_told_of_however_many_are_planned(
    database: DatabaseSettings, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_EVENTS", 3)
    for number in range(5):
        await rows.execute(INSERT_PLANNED, f"evt-planned-{number}", number)
    async with api(database) as client, followed(client, rows, types="event") as follower:
        assert {told.data["id"] for told in follower.events} >= {"evt-marker"}


async def test_vens_that_come_and_go_and_new_dead_letters_are_told(
    database: DatabaseSettings, rows: Connection
) -> None:
    now = datetime.now(UTC)
    async with stores(database) as store, api(database) as client, followed(client, rows) as follower:
        await store.readings.store([reading("ven-1", timestamp=now, received_at=datetime.now(UTC))])
        told = await follower.until(lambda item: item.kind == "vens")
        assert [(each["id"], each["status"]) for each in told.data["vens"]] == [("ven-1", "online")]
        left = VenStatus(ven_id="ven-1", received_at=datetime.now(UTC), status="offline")
        await store.database.run(lambda connection: record_status(connection, [left]))
        told = await follower.until(lambda item: item.kind == "vens")
        assert [(each["id"], each["status"]) for each in told.data["vens"]] == [("ven-1", "offline")]
        await insert(rows, [dead_letter("l-1", time=now), dead_letter("l-2", time=now)])
        told = await follower.until(lambda item: item.kind == "deadLetters")
        assert sorted(each["id"] for each in told.data["deadLetters"]) == ["l-1", "l-2"]
        assert (
            told.data["deadLetters"][0].keys()
            == (await client.get("/api/dead-letters")).json()["deadLetters"][0].keys()
        )


async def test_a_restarted_api_tells_what_was_missed_and_of_what_it_does_not_know(
    database: DatabaseSettings, rows: Connection
) -> None:
    async with api(database) as client, followed(client, rows, types="event,commands,vens") as follower:
        seen = follower.events[-1].id
    await rows.execute(INSERT_COMMAND, "c-1", "ven-1", "event", "evt-1")
    # At once, before the new process has looked at anything.
    async with api(database) as client, feed(client, seen, types="event,commands,vens") as later:
        assert (await later.next())[1:] == ("reset", {"types": ["vens"]})
        told = [await later.next(), await later.next()]
    assert sorted(each.kind for each in told) == ["commands", "event"]
    assert [each.data["commands"][0]["correlationId"] for each in told if each.kind == "commands"] == ["c-1"]


def read_all(deaf: socket.socket) -> int:
    """Read to the end; returns how many bytes."""
    number = 0
    with suppress(ConnectionResetError):
        while read := len(deaf.recv(1 << 20)):
            number += read
    return number


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_see_nothing_of_it(
    database: DatabaseSettings,
) -> None:
    async with serving(database, api_feed_queue=50) as (client, app), feed(client, types="vens") as follower:
        hub: Broadcaster = app.state.feed
        host, port = client.base_url.host, client.base_url.port
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, port))
            deaf.sendall(b"GET /api/feed?types=vens HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert await wait_until(lambda: len(hub.clients) == 2, 60)
            number = 0
            while len(hub.clients) == 2:
                hub.publish("vens", [FeedEntry(b'{"n":%d,"x":"%b"}' % (number, b"x" * 50_000))])
                told = await follower.next()
                assert told.data["vens"][0]["n"] == number
                number += 1
            shown = parsed((await client.get("/metrics")).text)
            assert shown["gateway_feed_clients"] == {(): 1}
            assert shown["gateway_feed_clients_cut_off_total"][()] >= 1
            # The connection is closed, and does not wait for what it did not read.
            deaf.settimeout(60)
            assert read_all(deaf) < 50_000 * number


async def test_a_quiet_feed_beats_and_a_full_one_takes_nobody(database: DatabaseSettings) -> None:
    settings: dict[str, Any] = {"api_feed_heartbeat_seconds": 0.05, "api_feed_clients": 1}
    async with serving(database, **settings) as (client, app):
        async with client.stream("GET", "/api/feed") as answer:
            lines = answer.aiter_lines()
            while await anext(lines) != ": heartbeat":
                pass
            assert "API_FEED_CLIENTS" in assert_problem(await client.get("/api/feed"), 503)["detail"]
        assert await wait_until(lambda: not app.state.feed.clients, 60)


@pytest.mark.parametrize("query", [{"types": "totals,nonsense"}, {"venId": ""}, {"eventId": "x" * 129}])
async def test_what_is_asked_wrongly_is_refused(database: DatabaseSettings, query: dict[str, str]) -> None:
    async with api(database) as client:
        assert_problem(await client.get("/api/feed", params=query), 422)


async def test_an_api_that_is_stopped_does_not_wait_for_the_feed(database: DatabaseSettings) -> None:
    loop = asyncio.get_running_loop()
    async with api(database) as client:
        # Not closed by this client.
        answer = await client.send(client.build_request("GET", "/api/feed"), stream=True)
        asked = loop.time()
    assert loop.time() - asked < 15
    with pytest.raises((httpx.StreamClosed, httpx.ReadError, httpx.StreamError)):
        await answer.aread()
