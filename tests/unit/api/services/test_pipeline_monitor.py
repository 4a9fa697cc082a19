"""Figures of the pipeline where the log has not had a consumer group yet."""

from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from api.services.pipeline_monitor import ROLES, PipelineMonitor
from runtime.database import Pool
from schemas.settings.blocks import KafkaSettings


class _FreshLog:
    """Consumer, admin client and pool in one: topics, no groups, and a database that is down."""

    async def describe_topics(self) -> list[dict[str, Any]]:
        return []

    async def list_consumer_group_offsets(self, _group: str) -> None:
        raise GroupCoordinatorNotAvailableError

    async def beginning_offsets(self, _partitions: list[Any]) -> dict[Any, int]:
        return {}

    async def end_offsets(self, _partitions: list[Any]) -> dict[Any, int]:
        return {}

    async def fetchrow(self, *_query: Any) -> None:
        raise ConnectionRefusedError


async def test_a_log_that_was_just_started_has_figures_and_is_no_trouble() -> None:
    log = _FreshLog()
    pipeline = PipelineMonitor(KafkaSettings(kafka_bootstrap_servers="localhost:1"), cast("Pool", log))
    await pipeline._poll(cast("AIOKafkaConsumer", log), cast("AIOKafkaAdminClient", log))
    assert pipeline.latest is not None
    assert [(each.role, each.records) for each in pipeline.latest.waiting] == [(role, None) for role in ROLES]
