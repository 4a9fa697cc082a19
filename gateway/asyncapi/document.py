"""Builds the AsyncAPI document: servers, channels of MQTT and Kafka, their messages, and who sends what."""

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from gateway.asyncapi.commands import command_schemas
from gateway.asyncapi.messages import payload_messages, record_messages
from gateway.asyncapi.payloads import MESSAGES, payload_schemas
from gateway.asyncapi.records import INTERNAL, VALUES, record_schemas
from schemas.base.plain_yaml import plain_yaml
from schemas.mqtt.routing import COMMAND_TOPIC, Kind
from schemas.records import topics
from schemas.records.network import NETWORK_SCOPE, TYPE_SCOPE
from schemas.records.topics import CANONICAL, DEAD_LETTER_SUFFIX, RAW, TOPICS, Topic

JSON = "application/json"
COMMANDS = COMMAND_TOPIC + "{venId}"

# Name, address, kind, and the setting that subscribes to it; None is always subscribed.
_SUBSCRIBED = (
    ("telemetry", "ven/telemetry/{venId}", Kind.METERING, "MQTT_TOPICS"),
    ("metering", "volttron/metering", Kind.METERING, "MQTT_TOPIC_METERING"),
    ("meter", "oadr/meter/{venId}", Kind.METERING, "MQTT_TOPICS"),
    ("loads", "ven/loads/{venId}", Kind.LOADS, "BACKEND_LOADS_TOPIC"),
    ("status", "volttron/dev", Kind.STATUS, "MQTT_TOPIC_STATUS"),
    ("acks", "ven/ack/{venId}", Kind.ACKS, None),
    ("shadow", "$aws/things/{venId}/shadow/update", Kind.SHADOW, "MQTT_TOPIC_SHADOW"),
    ("events", "openadr/event", Kind.EVENTS, "MQTT_TOPIC_EVENTS"),
    ("responses", "openadr/response", Kind.RESPONSES, "MQTT_TOPIC_RESPONSES"),
)
_KEYS = {topics.STATS: f"`{NETWORK_SCOPE}`, or `{TYPE_SCOPE}` and a type of load (`{TYPE_SCOPE}hvac`)"}
_INFO = """\
The messages that VENs (homes) and the gateway exchange over MQTT, and the records that the gateway stores in Kafka.
Power is in kW, energy in kWh, current in A; used power is net import from the grid.
Readers ignore unknown fields: fields are added, never renamed. `docs/reference/messages.md` and
`docs/how-to/analytics.md` explain the messages; `docs/reference/backend-api.yaml` describes the REST API.
"""
_TAGS = {
    "mqtt": "Between VENs and the gateway.",
    "canonical": "In Kafka: canonical records for analytics consumers, one schema per topic.",
    "raw": "In Kafka: MQTT payloads, unchanged.",
    "dead letters": "In Kafka: rejected messages, with the reason.",
    "internal": "In Kafka: records between the gateway's own processes. They may change with any version.",
}


def describe_messages() -> str:
    """Return the description as YAML, the same for the same version of the code."""
    return plain_yaml(document())


def document() -> dict[str, Any]:
    """Return the description (AsyncAPI 3.0)."""
    channels = {**_mqtt_channels(), **_kafka_channels()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Grid-Event Gateway: messages",
            "version": metadata.version("grid-event-gateway"),
            "description": _INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        },
        "defaultContentType": JSON,
        "servers": {
            "mqtt": {"host": "mqtt.example.org:8883", "protocol": "secure-mqtt", "protocolVersion": "3.1.1"},
            "kafka": {"host": "kafka.example.org:9092", "protocol": "kafka"},
        },
        "channels": channels,
        "operations": _operations(channels),
        "components": {
            "schemas": {**payload_schemas(), **command_schemas(), **record_schemas()},
            "messages": {**payload_messages(), **record_messages()},
        },
    }


def _mqtt_channels() -> dict[str, Any]:
    found = {}
    for name, address, kind, setting in _SUBSCRIBED:
        description = f"Subscribed to if `{setting}` names it." if setting else "Always subscribed to."
        found[f"mqtt.{name}"] = _channel("mqtt", address, MESSAGES[kind], ["mqtt"], description)
    description = "Commands to a VEN. QoS 1, not retained; each attempt of a command is sent at most once."
    found["mqtt.commands"] = _channel("mqtt", COMMANDS, command_schemas(), ["mqtt"], description)
    return found


def _kafka_channels() -> dict[str, Any]:
    found = {}
    for topic in TOPICS:
        if topic.name.endswith(DEAD_LETTER_SUFFIX):
            continue
        if topic in RAW:
            names, tag = MESSAGES[Kind(topic.name.removeprefix("ven.raw."))], "raw"
            messages = [f"Raw{name}" for name in names]
        else:
            messages = [kind.__name__ for kind in VALUES[topic.name]]
            tag = "internal" if topic.name in INTERNAL else "canonical"
        found[topic.name] = _channel("kafka", topic.name, messages, [tag], _topic_description(topic)) | {
            "bindings": {"kafka": _kafka(topic)}
        }
    sources = [topic.name for topic in RAW + CANONICAL]
    description = "Rejected messages. The value is the source's, byte by byte; the headers give the reason."
    address = "{source}" + DEAD_LETTER_SUFFIX
    found["deadLetters"] = _channel("kafka", address, ["DeadLetter"], ["dead letters"], description)
    found["deadLetters"]["parameters"] = {"source": {"description": "The source topic.", "enum": sources}}
    return found


def _topic_description(topic: Topic) -> str:
    description = f"Key: {_KEYS.get(topic.name, topic.key)}. `KAFKA_TOPIC_PREFIX` precedes the name."
    if topic.name == topics.raw_topic(Kind.METERING):
        description += f" Records without a value that have the header `{topics.HEADER_HEARTBEAT}` are heartbeats."
    if topic.name in {topics.DISABLED, topics.POWER_LIMITS}:
        description += " An empty value removes the key's record."
    return description


def _channel(server: str, address: str, messages: Iterable[str], tags: list[str], description: str) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "tags": [{"name": tag} for tag in tags],
    }
    if "{venId}" in address:
        channel["parameters"] = {"venId": {"description": "The id of the VEN: none of / + # and no control character."}}
    return channel


def _kafka(topic: Topic) -> dict[str, Any]:
    return {
        "topicConfiguration": {"cleanup.policy": topic.cleanup.split(",")},
        **({"partitions": topic.partitions} if topic.partitions else {}),
        "bindingVersion": "0.5.0",
    }


def _operations(channels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the gateway's operations: it receives the messages of VENs and sends all others."""
    found: dict[str, Any] = {}
    for name in channels:
        over_mqtt = name.startswith("mqtt.")
        action = "receive" if over_mqtt and name != "mqtt.commands" else "send"
        operation: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
        if over_mqtt:
            operation["bindings"] = {"mqtt": {"qos": 1, "retain": False, "bindingVersion": "0.2.0"}}
        found[f"{action}.{name}"] = operation
    return found
