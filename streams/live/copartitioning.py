"""Checks that the topics which `live` reads together have the same number of partitions."""

import logging
from collections.abc import Mapping

from schemas.mqtt.routing import Kind
from schemas.records.topics import DISABLED, HEARTBEATS, LIVE_LOADS, LOADS, STATUS, TELEMETRY, raw_topic
from schemas.settings.blocks import KafkaSettings

logger = logging.getLogger(__name__)

_TOPICS = (raw_topic(Kind.METERING), TELEMETRY, LOADS, STATUS, HEARTBEATS, DISABLED, LIVE_LOADS)


def warn_unless_copartitioned(kafka: KafkaSettings, partitions: Mapping[str, int]) -> None:
    """Log an error if the topics differ in their number of partitions (by full topic name)."""
    counts = {name: partitions[kafka.topics(name)] for name in _TOPICS}
    if len(set(counts.values())) > 1:
        logger.error(
            "these topics must have the same number of partitions, or live totals are incomplete: %s",
            counts,
            extra={"action": "topics_not_copartitioned"},
        )
