"""The messages of the AsyncAPI document, with headers and examples."""

import re
from collections.abc import Mapping
from typing import Any

from bridge.downlink.command_log import HEADER_RUN
from gateway.asyncapi.commands import command_schemas
from gateway.asyncapi.examples import message_examples, record_examples
from gateway.asyncapi.payloads import payload_schemas
from gateway.asyncapi.records import VALUES, Schema, record_schemas
from schemas.records import topics
from schemas.records.tracing import TRACEPARENT

# Headers that a message keeps through all topics.
_PASSED_ON: Mapping[str, str] = {
    topics.HEADER_REPLAY_OF: "The id of the dead letter that this message replays.",
    TRACEPARENT: "Trace context (W3C) of a traced message.",
}
_HEADERS: Mapping[str, str] = {
    topics.HEADER_TOPIC: "The MQTT topic of the message.",
    topics.HEADER_RECEIVED: "When the gateway received it, in milliseconds since 1970.",
    topics.HEADER_QOS: "0 or 1.",
    topics.HEADER_RETAIN: "1 for a retained message.",
    topics.HEADER_DUP: "1 if the broker redelivered it.",
    **_PASSED_ON,
}
_VALIDATED = (
    topics.TELEMETRY,
    topics.LOADS,
    topics.FAULTS,
    topics.STATUS,
    topics.ACKS,
    topics.SHADOW,
    topics.VTN_MESSAGES,
)
_RECORD_HEADERS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(_VALIDATED, _PASSED_ON),
    topics.COMMANDS: {TRACEPARENT: _PASSED_ON[TRACEPARENT]},
    topics.COMMAND_LOG: {HEADER_RUN: "The run of the bridge that wrote it."},
}
"""Headers of the gateway's own records; other topics have none."""

_DEAD_LETTER_HEADERS: Mapping[str, str] = {
    topics.HEADER_REASON: "A stable code (`schemas/base/rejection.py`).",
    topics.HEADER_DETAIL: "The reason in words.",
    topics.HEADER_SOURCE_TOPIC: "The source topic.",
    topics.HEADER_SOURCE_PARTITION: "Partition in the source topic; absent if it was rejected before Kafka.",
    topics.HEADER_SOURCE_OFFSET: "Offset there; absent if it was rejected before Kafka.",
    topics.HEADER_SOURCE_TIMESTAMP: "The time of the record there, in milliseconds since 1970.",
    topics.HEADER_CLOCK_SKEW: "Receive time minus event time, in seconds, if the event time was implausible.",
}


def payload_messages() -> dict[str, Any]:
    """Return the MQTT messages, and the same messages in the raw topics with headers."""
    schemas, found = {**payload_schemas(), **command_schemas()}, {}
    for name, shown in {**message_examples(), "OtherMessage": []}.items():
        message: dict[str, Any] = {
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "summary": _first_sentence(schemas[name]),
        }
        if name == "OtherMessage":
            message["contentType"] = "application/octet-stream"
        if shown:
            message["examples"] = [{"name": each["name"], "payload": each["payload"]} for each in shown]
        found[name] = {"name": name, **message, "bindings": {"mqtt": {"bindingVersion": "0.2.0"}}}
        if name not in command_schemas():
            found[f"Raw{name}"] = {"name": f"Raw{name}", **message, "headers": _headers(_HEADERS)}
    return found


def record_messages() -> dict[str, Any]:
    """Return the records in Kafka, and dead letters."""
    schemas, examples = record_schemas(), record_examples()
    found: dict[str, Any] = {}
    for topic, kinds in VALUES.items():
        for number, kind in enumerate(kinds):
            name = kind.__name__
            shown = examples.get(topic, []) if len(kinds) == 1 else examples[topic][number : number + 1]
            message: dict[str, Any] = {"name": name, "summary": _first_sentence(schemas[name])}
            message["payload"] = {"$ref": f"#/components/schemas/{name}"}
            if topic in _RECORD_HEADERS:
                message["headers"] = _headers(_RECORD_HEADERS[topic])
            if shown:
                message["examples"] = [{"payload": each} for each in shown]
            found[name] = message
    headers = _headers({**_HEADERS, **_DEAD_LETTER_HEADERS})
    found["DeadLetter"] = {
        "name": "DeadLetter",
        "summary": "A rejected message",
        "contentType": "application/octet-stream",
        "payload": {"description": "The source's bytes."},
        "headers": headers,
    }
    return found


def _headers(descriptions: Mapping[str, str]) -> Schema:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in descriptions.items()},
    }


def _first_sentence(schema: Schema) -> str:
    description: str = schema["description"]
    return re.split(r"\n|: |\. ", description, maxsplit=1)[0].rstrip(".:")
