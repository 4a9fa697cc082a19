"""When a role's process is ready, and how it ends."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from schemas.mqtt.routing import Kind
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.config import StreamsConfig
from streams.engine.group_member import Assignor
from streams.live import state_restore
from streams.main import run_role
from tests.support.kafka_records import writer
from tests.support.servers import Topics, committed

WAIT = 60


async def test_crashed_role_raises_and_commits_nothing(topics: Topics) -> None:
    kafka = topics.settings(partitions=1)
    raw = kafka.topics.raw(Kind.METERING)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.kafka_bootstrap_servers)
    await admin.start()
    # Dead letters that the log refuses for good: nothing a process could do about it.
    tiny = NewTopic(kafka.topics.dead_letters(raw), 1, 1, topic_configs={"max.message.bytes": "10"})
    await admin.create_topics([tiny, NewTopic(raw, 1, 1)])
    await admin.close()
    async with writer(kafka) as log:
        await log.one(raw, b"not a sample")
    with pytest.raises(KafkaError):
        async with asyncio.timeout(WAIT):
            await run_role(StreamsConfig("validate", kafka, StreamsSettings(), None), asyncio.Event())
    assert await committed(kafka, "validate", raw) == {}


async def test_live_is_ready_only_when_it_has_joined_and_restored_its_state(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, may_restore = asyncio.Event(), asyncio.Event()
    assign, restore = Assignor.on_assignment, state_restore.read_recent

    def on_assignment(self: Assignor, assignment: Any) -> None:
        joined.set()
        assign(self, assignment)

    async def read_recent(*given: Any, **options: Any) -> None:
        await may_restore.wait()
        await restore(*given, **options)

    monkeypatch.setattr(Assignor, "on_assignment", on_assignment)
    monkeypatch.setattr("streams.live.assigned_partitions.read_recent", read_recent)
    port = reserve_ports(tmp_path / "ports.json", ["live"])["live"]
    stop, seen = asyncio.Event(), list[tuple[int, dict[str, bool], bool]]()
    config = StreamsConfig("live", kafka, StreamsSettings(streams_health_port=port), None)
    role = asyncio.create_task(run_role(config, stop))

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def sees(status: int, **checks: bool) -> bool:
            with suppress(httpx.ConnectError):
                answer = await client.get("/health/ready")
                seen.append((answer.status_code, answer.json()["checks"], joined.is_set()))
            return bool(seen) and seen[-1][:2] == (status, checks)

        assert await wait_until(lambda: sees(503, kafka=True, state=False), WAIT, every=0.01), seen[-1:]
        assert all(has_joined or not checks["kafka"] for _, checks, has_joined in seen)
        may_restore.set()
        assert await wait_until(lambda: sees(200, kafka=True, state=True), WAIT), seen[-1:]
    assert [status for status, *_ in seen].index(200) == len(seen) - 1
    stop.set()
    await role
