"""The whole description: servers, channels of MQTT and of the log, the messages in them, and who sends what."""

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

# Name, address, kind, and the setting that says so.
_HEARD = (
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
What VENs (homes) and the gateway tell each other over MQTT, and what the gateway keeps in its log (Kafka protocol) for
everybody who wants to read along. Power is in kW, energy in kWh, currents in A; used power is net import from the grid.
Readers ignore fields that they do not know: fields are added, never renamed. `docs/reference/messages.md` and
`docs/how-to/analytics.md` tell it in words; the REST API is described by `docs/reference/backend-api.yaml`.
"""
_TAGS = {
    "mqtt": "Between VENs and the gateway.",
    "canonical": "In the log, one schema a topic: what analytics consumers read.",
    "raw": "In the log: MQTT payloads, untouched.",
    "dead letters": "In the log: what did not count, with the reason.",
    "internal": "In the log: what the gateway tells itself. May change with any version.",
}


def describe_messages() -> str:
    """Return the description as YAML, the same for the same version of the code."""
    return plain_yaml(document())


def document() -> dict[str, Any]:
    """Return the description (AsyncAPI 3.0)."""
    channels = {**_mqtt_channels(), **_log_channels()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Grid-Event Gateway: messages",
            "version": metadata.version("grid-event-gateway"),
            "description": _INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        },
        "defaultContentType": JSON,
        "servers": {
            "mqtt": {"host": "mqtt.example.org:8883", "protocol": "secure-mqtt", "protocolVersion": "3.1.1"},
            "log": {"host": "kafka.example.org:9092", "protocol": "kafka"},
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
    for name, address, kind, setting in _HEARD:
        said = f"Heard where the setting `{setting}` has it." if setting else "Always heard."
        found[f"mqtt.{name}"] = _channel("mqtt", address, MESSAGES[kind], ["mqtt"], said)
    said = "What a VEN is told. QoS 1, not retained; each attempt of a command is sent once."
    found["mqtt.commands"] = _channel("mqtt", COMMANDS, command_schemas(), ["mqtt"], said)
    return found


def _log_channels() -> dict[str, Any]:
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
        found[topic.name] = _channel("log", topic.name, messages, [tag], _said(topic)) | {
            "bindings": {"kafka": _kafka(topic)}
        }
    sources = [topic.name for topic in RAW + CANONICAL]
    said = "Messages that did not count. The value is the source's, byte by byte; the headers say why."
    found["deadLetters"] = _channel("log", "{source}" + DEAD_LETTER_SUFFIX, ["DeadLetter"], ["dead letters"], said)
    found["deadLetters"]["parameters"] = {"source": {"description": "The topic it comes from.", "enum": sources}}
    return found


def _said(topic: Topic) -> str:
    said = f"Key: {_KEYS.get(topic.name, topic.key)}. With `KAFKA_TOPIC_PREFIX` its name begins with that."
    if topic.name == topics.raw_topic(Kind.METERING):
        said += f" Records without a value that have the header `{topics.HEADER_HEARTBEAT}` are heartbeats."
    if topic.name in {topics.DISABLED, topics.POWER_LIMITS}:
        said += " An empty value: no longer."
    return said


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
    """From the gateway's side: what VENs say it receives, everything else it sends."""
    found: dict[str, Any] = {}
    for name in channels:
        over_mqtt = name.startswith("mqtt.")
        action = "receive" if over_mqtt and name != "mqtt.commands" else "send"
        operation: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
        if over_mqtt:
            operation["bindings"] = {"mqtt": {"qos": 1, "retain": False, "bindingVersion": "0.2.0"}}
        found[f"{action}.{name}"] = operation
    return found
