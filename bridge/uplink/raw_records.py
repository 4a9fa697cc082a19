"""Raw records: an MQTT message as a record of ven.raw.*, keyed by VEN id, its payload unchanged."""

from typing import Any

from bridge.mqtt.packet_reader import Message
from runtime.kafka import MAX_PAYLOAD_BYTES
from runtime.metrics import DEAD_LETTERS
from schemas.base.rejection import Reason, Rejection
from schemas.mqtt.record_key import message_key
from schemas.mqtt.routing import Kind, Routes
from schemas.records import topics
from schemas.records.dead_letters import dead_letter_headers

_TRUNCATED_BYTES = 65_536
_MAX_CACHED_TOPICS = 100_000
_MAX_CACHED_TOPIC_LENGTH = 256


class RawRecords:
    """Builds raw records; `received` counts messages by kind, including redelivered ones."""

    def __init__(self, names: topics.TopicNames, routes: Routes) -> None:
        self._names = names
        self._routes = routes
        self._kinds: dict[str, Kind] = {}
        self.received = dict.fromkeys(Kind, 0)

    def build(self, message: Message) -> dict[str, Any]:
        """Return topic, key, value and headers of a message's record, or of its dead letter if it is too large."""
        topic, payload = message.topic, message.payload
        kind = self._kind_of(topic)
        self.received[kind] += 1
        headers = [
            (topics.HEADER_TOPIC, topic.encode()),
            (topics.HEADER_RECEIVED, b"%d" % message.received_ms),
            (topics.HEADER_QOS, b"%d" % message.qos),
            (topics.HEADER_RETAIN, b"%d" % message.retain),
            (topics.HEADER_DUP, b"%d" % message.dup),
        ]
        name = self._names.raw(kind)
        record = {"topic": name, "value": payload, "key": message_key(kind, topic, payload), "headers": headers}
        return record if len(payload) <= MAX_PAYLOAD_BYTES else self._too_large(record)

    def _too_large(self, record: dict[str, Any]) -> dict[str, Any]:
        """Kafka cannot store the payload; the dead letter has its beginning, which shows the sender."""
        DEAD_LETTERS.labels(record["topic"], Reason.TOO_LARGE).inc()
        size = len(record["value"])
        rejection = Rejection(Reason.TOO_LARGE, f"{size} bytes; the first {_TRUNCATED_BYTES} are kept")
        return {
            "topic": self._names.dead_letters(record["topic"]),
            "value": record["value"][:_TRUNCATED_BYTES],
            "key": record["key"],
            "headers": dead_letter_headers(rejection, record["headers"], topic=record["topic"]),
        }

    def _kind_of(self, topic: str) -> Kind:
        kind = self._kinds.get(topic)
        if kind is None:
            kind = self._routes.kind_of(topic)
            if len(self._kinds) >= _MAX_CACHED_TOPICS:
                self._kinds.clear()
            if len(topic) <= _MAX_CACHED_TOPIC_LENGTH:
                self._kinds[topic] = kind
        return kind
