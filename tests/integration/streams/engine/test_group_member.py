"""The identity of a worker in its group: it survives another host name, as each new container has."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from yarl import URL

from gateway.local.worker import Worker
from gateway.stack import LocalStack
from gateway.stack.child_guard import Guard
from gateway.stack.polling import gather_all, wait_until
from gateway.stack.ports import reserve_ports
from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.records.topics import HEADER_TOPIC, LOADS, TELEMETRY
from schemas.settings.blocks import DatabaseSettings, KafkaSettings, StreamsSettings
from streams.engine.app import make_app
from streams.engine.group_member import worker_url
from streams.roles import ROLES
from tests.support.apps import ManualAgent, running
from tests.support.kafka_records import writer
from tests.support.servers import Topics, committed

WAIT = 60
SESSION_SECONDS = 30
"""That of the settings: who takes longer has lost its partitions meanwhile."""
PAUSE_SECONDS = 0.02

# Faust asks for the name when it is imported; this takes no root, as a UTS namespace would.
HOST_NAME = "import os, socket\nsocket.gethostname = lambda: os.environ['TEST_HOST_NAME']\n"


@asynccontextmanager
async def roles_on(
    host: str, stack: LocalStack, kafka: KafkaSettings, database: DatabaseSettings, folder: Path
) -> AsyncIterator[list[Worker]]:
    """Have a worker of each role inside that is ready, on a machine of this name; they end in order."""
    (folder / "sitecustomize.py").write_text(HOST_NAME)
    guard, ports = Guard(), reserve_ports(folder / "ports.json", ROLES)
    workers = [
        Worker(
            role,
            ("streams", role),
            env={
                **stack.environment(),
                "DB_NAME": database.db_name,
                "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
                "KAFKA_PARTITIONS": str(kafka.kafka_partitions),
                "STREAMS_INSTANCE_ID": f"{role}-1",
                "STREAMS_HEALTH_PORT": str(ports[role]),
                "PYTHONPATH": str(folder),
                "TEST_HOST_NAME": host,
            },
            log=folder / f"{role}.log",
            guard=guard,
            health=f"http://127.0.0.1:{ports[role]}",
        )
        for role in ROLES
    ]
    begun = time.monotonic()
    try:
        await gather_all(worker.start() for worker in workers)
        for worker in workers:
            assert await wait_until(worker.ready, WAIT), f"{worker.name} on {host}: {worker.process.see_log()}"
        assert time.monotonic() - begun < SESSION_SECONDS
        yield workers
        assert [worker.restarts for worker in workers] == [0, 0, 0]
    finally:
        await gather_all(worker.stop() for worker in workers)
        await guard.close()


async def publish(kafka: KafkaSettings, stop: asyncio.Event) -> int:
    """Put samples in the log until told to stop; returns how many."""
    number, now = 0, int(time.time())
    headers = [(HEADER_TOPIC, b"volttron/metering")]
    async with AIOKafkaProducer(bootstrap_servers=kafka.kafka_bootstrap_servers, acks="all") as log:
        while not stop.is_set():
            ven_id = f"ven-{number % 10}"
            sample = {"venId": ven_id, "timestamp": now - number // 10, "power_kw": 1.0}
            value = json.dumps(sample).encode()
            await log.send_and_wait(kafka.topics.raw(Kind.METERING), value, key=ven_id.encode(), headers=headers)
            number += 1
            await asyncio.sleep(PAUSE_SECONDS)
    return number


async def test_roles_restart_under_another_host_name(
    stack: LocalStack, kafka: KafkaSettings, database: DatabaseSettings, rows: Connection, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    publishing = asyncio.create_task(publish(kafka, stop))

    async def stored() -> int:
        return int(await rows.fetchval("SELECT count(*) FROM telemetry_readings"))

    async def stored_more_than(number: int) -> bool:
        return await stored() > number

    async with roles_on("a1b2c3d4e5f6", stack, kafka, database, tmp_path):
        assert await wait_until(lambda: stored_more_than(0), WAIT)
    before = await stored()
    async with roles_on("0f9e8d7c6b5a", stack, kafka, database, tmp_path):
        assert await wait_until(lambda: stored_more_than(before), WAIT)
        stop.set()
        sent = await publishing
        assert await wait_until(lambda: stored_more_than(sent - 1), WAIT)
    # (ven_id, time) is the primary key: as many rows as samples is each of them once.
    assert await stored() == sent


@pytest.mark.parametrize("former", [URL("http://old-container:6066"), URL("http://live/other")], ids=["host", "other"])
async def test_assignment_under_a_former_url_is_accepted(topics: Topics, former: URL) -> None:
    kafka = await topics.fresh(partitions=1)
    topic = kafka.topics(TELEMETRY)
    settings = StreamsSettings(streams_instance_id="live-1")

    def app_with_table() -> tuple[Any, ManualAgent]:
        app = make_app("live", kafka, settings)
        app.Table("kept", partitions=1, key_type=str, value_type=bytes)
        return app, ManualAgent(app, topic)

    app, held = app_with_table()
    app.conf.canonical_url = former
    async with writer(kafka) as log:
        await log.one(topic, b"1")
        async with running(app):
            assert await held.have(1)
            await held.finish(held.events[0])
            assert await wait_until(lambda: committed_to(kafka, topic, 1), WAIT)
        app, held = app_with_table()
        await log.one(topic, b"2")
        async with asyncio.timeout(SESSION_SECONDS), running(app):
            assert app.ready
            assert await held.have(1)
            assert held.events[0].value.records[0].value == b"2"
            assert app.assignor._url == worker_url("live", "live-1")
            assert list(app.assignor.changelog_distribution) == ["http://live/live-1"]


@pytest.mark.parametrize(
    ("former", "now"), [([TELEMETRY], [TELEMETRY, LOADS]), ([TELEMETRY, LOADS], [TELEMETRY])], ids=["more", "fewer"]
)
async def test_worker_with_changed_topics_is_assigned_them(topics: Topics, former: list[str], now: list[str]) -> None:
    kafka = await topics.fresh(partitions=1)
    settings = StreamsSettings(streams_instance_id="live-1")
    async with writer(kafka) as log:
        for topic in (TELEMETRY, LOADS):
            await log.one(kafka.topics(topic), b"1")
        for names in (former, now):
            read = {kafka.topics(name) for name in names}
            app = make_app("live", kafka, settings)
            held = ManualAgent(app, *read)
            async with asyncio.timeout(SESSION_SECONDS), running(app):
                assert await held.have(len(read))
                assert {event.value.tp.topic for event in held.events} == read


async def committed_to(kafka: KafkaSettings, topic: str, offset: int) -> bool:
    return (await committed(kafka, "live", topic)).get(0) == offset


def test_two_workers_have_two_urls() -> None:
    urls = {worker_url("sink", "sink-1"), worker_url("sink", "sink-2"), worker_url("live", "sink-1")}
    urls |= {worker_url("sink", ""), worker_url("sink", "")}
    assert len(urls) == 5
    assert worker_url("sink", "sink-1") == worker_url("sink", "sink-1")
    assert str(URL(str(worker_url("sink", "a b/ü")))) == str(worker_url("sink", "a b/ü"))
