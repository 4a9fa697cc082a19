"""The registry of Kafka topics: key, value, cleanup and partitions of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from schemas.mqtt.routing import Kind

# Names of the headers that travel with every raw record.
HEADER_TOPIC = "mqtt-topic"
HEADER_RECEIVED = "received-at"  # milliseconds since 1970, as decimal text
HEADER_QOS = "mqtt-qos"
HEADER_RETAIN = "mqtt-retain"
HEADER_DUP = "mqtt-dup"
# Marks a heartbeat among the records of ven.raw.metering; see docs/explanation/live-totals.md.
HEADER_HEARTBEAT = "heartbeat"

# Names of the headers that a dead letter adds to those of its source.
HEADER_REASON = "dead-letter-reason"
HEADER_DETAIL = "dead-letter-detail"
HEADER_SOURCE_TOPIC = "source-topic"
HEADER_SOURCE_PARTITION = "source-partition"
HEADER_SOURCE_OFFSET = "source-offset"
HEADER_SOURCE_TIMESTAMP = "source-timestamp"
HEADER_CLOCK_SKEW = "clock-skew-seconds"  # received minus measured, if that is the reason

# The dead letter that a record is a replay of; kept through all topics.
HEADER_REPLAY_OF = "replay-of"

DEAD_LETTER_SUFFIX = ".dlq"

Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic; `partitions` is None for the number in the settings."""

    name: str
    key: str
    value: str
    cleanup: Cleanup = "delete"
    partitions: int | None = None


TELEMETRY = "ven.telemetry"
LOADS = "ven.loads"
FAULTS = "ven.faults"
STATUS = "ven.status"
ACKS = "ven.acks"
SHADOW = "ven.shadow"
VTN_MESSAGES = "vtn.messages"
COMMANDS = "ven.commands"
COMMAND_LOG = "ven.command-log"
HEARTBEATS = "pipeline.heartbeats"
DISABLED = "ven.disabled"
POWER_LIMITS = "ven.power-limits"
LIVE_LOADS = "live.loads"
MINUTES = "ven.telemetry.1m"
PARTIALS = "network.partials"
STATS = "network.stats"
SUBSCRIPTIONS = "bridge.subscriptions"
STATS_CHANGELOG = "gateway-live-network_stats-changelog"  # Faust builds the name: app id, table, changelog


def raw_topic(kind: Kind) -> str:
    """Return the topic of the unchanged payloads of a kind."""
    return f"ven.raw.{kind}"


RAW = tuple(Topic(raw_topic(kind), "VEN id", "the MQTT payload, untouched") for kind in Kind)

CANONICAL = (
    Topic(TELEMETRY, "VEN id", "Reading"),
    Topic(LOADS, "VEN id", "LoadSnapshot"),
    Topic(FAULTS, "VEN id", "FaultReport"),
    Topic(STATUS, "VEN id", "VenStatus"),
    Topic(ACKS, "VEN id", "Ack"),
    Topic(SHADOW, "VEN id", "Shadow", "compact"),
    Topic(VTN_MESSAGES, "VEN id, where the message names one", "VtnMessage", partitions=1),
    Topic(COMMANDS, "VEN id", "CommandRecord"),
    # The last evidence of each command, for the retention of commands.
    Topic(COMMAND_LOG, "correlation id", "DeliveryEvidence", "compact,delete"),
)

TOPICS = (
    *RAW,
    *CANONICAL,
    # One partition each: there are many topics and, in a healthy system, hardly any records.
    *(
        Topic(source.name + DEAD_LETTER_SUFFIX, source.key, "the source's bytes", partitions=1)
        for source in RAW + CANONICAL
    ),
    # As many partitions as ven.telemetry, because each record is about one of its partitions or VENs.
    Topic(HEARTBEATS, "none; of the same partition of ven.telemetry", "Heartbeat"),
    Topic(DISABLED, "VEN id", "Disabled", "compact"),
    Topic(LIVE_LOADS, "VEN id", "VenLoads", "compact"),
    Topic(MINUTES, "VEN id", "Minute"),
    # One partition each, so that "latest" is well defined.
    Topic(POWER_LIMITS, "VEN id", "PowerLimit", "compact", partitions=1),
    Topic(PARTIALS, "partition of ven.telemetry", "Partial", "compact", partitions=1),
    Topic(STATS, "scope", "NetworkTotals; of a type of load ScopeTotals", "compact", partitions=1),
    Topic(STATS_CHANGELOG, "partition of ven.telemetry", "Partial", "compact", partitions=1),
    Topic(SUBSCRIPTIONS, "MQTT client id", "SubscriptionList", "compact", partitions=1),
)


class TopicNames:
    """The topic names with the prefix of this installation."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __call__(self, name: str) -> str:
        """Return the full name of a topic."""
        return self._prefix + name

    def raw(self, kind: Kind) -> str:
        """Return the full name of a kind's raw topic."""
        return self(raw_topic(kind))

    @property
    def all_dead_letters(self) -> list[str]:
        """Return the full names of all dead-letter topics."""
        return [name for name, topic in self if topic.name.endswith(DEAD_LETTER_SUFFIX)]

    def dead_letters(self, source: str) -> str:
        """Return the dead-letter topic of a topic; both are full names."""
        return source + DEAD_LETTER_SUFFIX

    def __iter__(self) -> Iterator[tuple[str, Topic]]:
        """Iterate over (full name, topic)."""
        return ((self(topic.name), topic) for topic in TOPICS)
