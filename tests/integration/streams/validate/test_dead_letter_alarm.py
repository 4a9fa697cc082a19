"""A high dead-letter rate raises the alarm and stops nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from runtime.health import serve_health
from runtime.kafka import producer
from runtime.metrics import DEAD_LETTER_RATIO
from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.records.topics import TELEMETRY
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.config import StreamsConfig
from streams.engine.app import make_app
from streams.main import run_role
from streams.validate.agents import add_validate
from streams.validate.dead_letter_alarm import DeadLetterAlarm
from streams.validate.dead_letter_rate import WINDOW_SECONDS
from tests.support.apps import running
from tests.support.kafka_records import read_all, writer
from tests.support.metrics import Shown, parsed
from tests.support.servers import Topics

WAIT = 60
BAD = b"not a sample"
ALARM = "dead_letter_rate_high"


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    return await topics.fresh(partitions=1)


def good(number: int, loads: str = "[]") -> bytes:
    stamp = int(datetime.now(UTC).timestamp())
    return f'{{"venId":"ven-{number}","timestamp":{stamp},"usedPowerKw":1,"loads":{loads}}}'.encode()


class Worker:
    """What one can see of a validate worker from outside, and the clock of its alarm."""

    def __init__(self, kafka: KafkaSettings, client: httpx.AsyncClient) -> None:
        self.now = 0.0
        self._client = client
        self._telemetry = kafka.topics(TELEMETRY)
        self._kafka = kafka
        self.raw = kafka.topics.raw(Kind.METERING)

    async def health(self) -> tuple[int, Any]:
        answer = await self._client.get("/health/ready")
        return answer.status_code, answer.json()

    async def metrics(self) -> Shown:
        return parsed((await self._client.get("/metrics")).text)

    async def processed(self, number: int) -> bool:
        async def reached() -> bool:
            counts = (await self.metrics()).get("gateway_records_processed_total", {})
            return counts.get(("validate", self.raw)) == number

        return await wait_until(reached, WAIT)

    async def alarms(self, *names: str) -> bool:
        async def listed() -> bool:
            return bool((await self.health())[1]["alarms"] == list(names))

        return await wait_until(listed, WAIT)

    async def received(self) -> list[bytes]:
        return [record.key for record in await read_all(self._kafka, self._telemetry)]


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=WAIT) as client:
        yield client


@asynccontextmanager
async def validating(kafka: KafkaSettings) -> AsyncIterator[Worker]:
    """Run a worker as streams/main.py does, with a clock that stands still until the test moves it."""
    streams = StreamsSettings()
    app = make_app("validate", kafka, streams)
    alarm = DeadLetterAlarm(streams, lambda: worker.now)
    alarm.schedule(app)
    async with (
        producer(kafka, "test") as log,
        serve_health("127.0.0.1", 0, {}, {alarm.name: alarm.check}) as port,
        client_of(port) as client,
    ):
        worker = Worker(kafka, client)
        add_validate(app, kafka, streams, log, alarm)
        with DEAD_LETTER_RATIO.reporting(lambda: {(): alarm.share()}):
            async with running(app):
                yield worker


async def test_alarm_follows_the_share_of_dead_letters(kafka: KafkaSettings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streams")
    async with writer(kafka) as log, validating(kafka) as worker:
        # A load that is wrong makes its sample one dead letter, however many of them are wrong.
        odd = good(0, '[{"id":"a","capacityKw":"x"},{"id":"b","capacityKw":"x"}]')
        mixed = [odd, *(good(number) if number % 2 else BAD for number in range(1, 38))]
        await log.together(worker.raw, mixed)
        assert await worker.processed(38)
        # 18 bad ones and the odd one are too few to raise the alarm.
        assert await worker.health() == (200, {"status": "ok", "checks": {}, "alarms": []})
        assert (await worker.metrics())["gateway_dead_letter_ratio"] == {(): 19 / 38}

        await log.together(worker.raw, [BAD, good(38), BAD])
        assert await worker.alarms(ALARM)
        assert (await worker.health())[0] == 200
        shown = await worker.metrics()
        assert shown["gateway_alarm"] == {(ALARM,): 1}
        assert shown["gateway_dead_letter_ratio"] == {(): 21 / 41}
        letters = shown["gateway_dead_letters_total"]
        assert letters[Reason.NOT_JSON, worker.raw] == 20
        assert letters[Reason.BAD_LOAD, worker.raw] == 2

        # Half a minute later the good ones come out as ever; they are not many enough yet.
        worker.now += WINDOW_SECONDS / 2
        await log.together(worker.raw, [good(number) for number in range(100, 200)])
        assert await worker.processed(141)
        assert await worker.alarms(ALARM)
        received = {0, *range(1, 38, 2), 38, *range(100, 200)}
        assert sorted(await worker.received()) == sorted(b"ven-%d" % number for number in received)

        # When the bad ones are a minute old it is over, though nothing more comes.
        worker.now += WINDOW_SECONDS / 2
        assert await wait_until(lambda: "back to normal" in caplog.text, WAIT)
        assert await worker.alarms()
        shown = await worker.metrics()
        assert (shown["gateway_alarm"], shown["gateway_dead_letter_ratio"]) == ({(ALARM,): 0}, {(): 0})
    levels = [record.levelno for record in caplog.records if "dead_letter_rate" in getattr(record, "action", "")]
    assert levels == [logging.WARNING, logging.INFO]


async def test_role_reports_alarm_and_batch_metrics(kafka: KafkaSettings, tmp_path: Path) -> None:
    port = reserve_ports(tmp_path / "ports.json", ["health"])["health"]
    streams = StreamsSettings(streams_health_port=port, dead_letter_alarm_minimum=5)
    stop = asyncio.Event()
    async with writer(kafka) as log, client_of(port) as client:
        worker = Worker(kafka, client)
        await log.together(worker.raw, [BAD] * 5)
        role = asyncio.create_task(run_role(StreamsConfig("validate", kafka, streams, None), stop))
        try:
            # Its health endpoint is the first thing that it starts.
            assert await wait_until(lambda: _listens(client), WAIT)
            assert await worker.alarms(ALARM)
            assert await worker.health() == (200, {"status": "ok", "checks": {"kafka": True}, "alarms": [ALARM]})
            assert await worker.processed(5)
            shown = await worker.metrics()
        finally:
            stop.set()
            await role
    assert shown["gateway_dead_letter_ratio"] == {(): 1}
    assert shown["gateway_check"] == {("kafka",): 1}
    assert shown["gateway_batch_records_count"]["validate",] >= 1
    assert shown["gateway_batch_seconds_sum"]["validate",] > 0


async def _listens(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live")).is_success
    except httpx.ConnectError:
        return False
