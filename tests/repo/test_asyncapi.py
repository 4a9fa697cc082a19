"""docs/reference/asyncapi.yaml is valid AsyncAPI, agrees with the code, and its schemas accept what is written."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from bridge.downlink.command_log import HEADER_RUN
from gateway.asyncapi.commands import command_schemas
from gateway.asyncapi.document import describe_messages
from gateway.asyncapi.examples import message_examples, record_examples
from gateway.asyncapi.payloads import MESSAGES
from gateway.asyncapi.records import VALUES, schema_of
from gateway.local.system import default_topics
from schemas.dr import commands
from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.records import topics
from schemas.records.telemetry import encode_record
from schemas.records.topics import CANONICAL, DEAD_LETTER_SUFFIX, RAW, TOPICS
from schemas.records.tracing import TRACEPARENT
from schemas.settings.mqtt import MqttTopicSettings
from streams.validate.validator import TOPIC_OF as VALIDATED
from streams.validate.validator import forwarded_headers
from tests.support.asyncapi import FILE, document, names_in, schema, wrong_with
from tests.support.paths import RECORDINGS, ROOT

SPECIFICATION = json.loads((ROOT / "tests" / "data" / "asyncapi" / "3.0.0.json").read_text())
DOCUMENT = document()
TOPIC_OF = {
    Kind.METERING: topics.TELEMETRY,
    Kind.LOADS: topics.LOADS,
    Kind.STATUS: topics.STATUS,
    Kind.ACKS: topics.ACKS,
    Kind.SHADOW: topics.SHADOW,
    Kind.EVENTS: topics.VTN_MESSAGES,
    Kind.RESPONSES: topics.VTN_MESSAGES,
}
ROUTES = MqttTopicSettings.load(**default_topics()).routes


def recorded() -> Iterator[tuple[str, str]]:
    for name in ("ven_enhanced.jsonl", "ven_local.jsonl"):
        for line in (RECORDINGS / name).read_text().splitlines():
            message = json.loads(line)
            yield message["topic"], message["payload"]


def test_the_committed_document_is_up_to_date() -> None:
    assert FILE.read_text() == describe_messages(), "run `make docs`"


def test_the_document_is_valid_asyncapi() -> None:
    specification = jsonschema_rs.Draft7Validator(SPECIFICATION)
    assert [error.message for error in specification.iter_errors(DOCUMENT)] == []
    # The specification's schema is one that finds faults.
    broken = deepcopy(DOCUMENT)
    broken["channels"]["ven.telemetry"]["adress"] = "ven.telemetry"
    assert not specification.is_valid(broken)


def test_every_reference_resolves() -> None:
    for reference in set(re.findall(r"\$ref: '?#/([^'\n]+)'?", FILE.read_text())):
        at: Any = DOCUMENT
        for part in reference.split("/"):
            at = at[part]
        assert at


def test_every_schema_is_a_valid_json_schema() -> None:
    for name in DOCUMENT["components"]["schemas"]:
        assert schema(name)
    for topic in VALUES:
        jsonschema_rs.meta.validate(schema_of(topic))


def test_every_kafka_topic_is_described_as_registered() -> None:
    channels = {name for name in DOCUMENT["channels"] if not name.startswith("mqtt.")} - {"deadLetters"}
    assert channels == {topic.name for topic in TOPICS if not topic.name.endswith(DEAD_LETTER_SUFFIX)}
    for topic in TOPICS:
        if topic.name in VALUES:
            assert all(kind.__name__ in topic.value for kind in VALUES[topic.name]), topic
    sources = DOCUMENT["channels"]["deadLetters"]["parameters"]["source"]["enum"]
    assert sources == [topic.name for topic in RAW + CANONICAL]


def headers_in(channel: str) -> set[str]:
    messages = [DOCUMENT["components"]["messages"][name] for name in names_in(channel)]
    return {name for message in messages for name in message.get("headers", {"properties": {}})["properties"]}


def test_the_headers_of_each_topic_are_described() -> None:
    raw = headers_in(topics.raw_topic(Kind.METERING))
    kept = {name for name, _ in forwarded_headers(dict.fromkeys(raw, b"1")) or ()}
    assert kept == {topics.HEADER_REPLAY_OF, TRACEPARENT}
    told = dict.fromkeys(VALIDATED.values(), kept)
    told |= {topics.COMMANDS: {TRACEPARENT}, topics.COMMAND_LOG: {HEADER_RUN}}
    assert {topic: headers_in(topic) for topic in VALUES if headers_in(topic)} == told


def test_every_subscribed_mqtt_topic_is_described() -> None:
    addresses = {
        channel["address"].replace("{venId}", "+"): list(channel["messages"])
        for name, channel in DOCUMENT["channels"].items()
        if name.startswith("mqtt.")
    }
    for heard in ROUTES.filters:
        assert addresses[heard] == list(MESSAGES[ROUTES.kind_of(heard.replace("+", "x"))])
    assert set(addresses) == {*ROUTES.filters, "oadr/meter/+", "ven/cmd/+"}


def test_recorded_payloads_and_their_records_match_the_schemas() -> None:
    became: Counter[str] = Counter()
    for topic, payload in recorded():
        kind = ROUTES.kind_of(topic)
        parsed = parse(kind, payload.encode(), Source(topic, datetime.now(UTC)))
        if isinstance(parsed, Parsed):
            assert any(schema(name).is_valid(json.loads(payload)) for name in MESSAGES[kind]), payload
            assert wrong_with(TOPIC_OF[kind], msgspec.json.decode(encode_record(parsed.record))) is None
            became[TOPIC_OF[kind]] += 1
    assert became == {topics.TELEMETRY: 131, topics.LOADS: 7, topics.ACKS: 18, topics.SHADOW: 21}


def test_rejected_payloads_do_not_match_the_schemas() -> None:
    for name, payload in (
        ("MeteringSample", {"venId": "ven-1", "usedPowerKw": 1.0}),
        ("MeteringSample", {"venId": None, "timestamp": 1, "usedPowerKw": 1.0}),
        ("MeteringSample", {"venId": "ven/1", "timestamp": 1}),
        ("MeteringSample", {"venId": "ven-1", "timestamp": 1, "usedPowerKw": "1"}),
        ("MeteringSample", {"venId": "ven-1", "timestamp": 1, "loads": [{"name": "no id"}]}),
        ("AckMessage", {"op": "ping"}),
        ("AckMessage", {"status": "success"}),
        ("StatusMessage", {"venId": "ven-1"}),
        ("LoadSnapshotMessage", {"venId": "ven-1", "timestamp": 1}),
        ("ShadowMessage", {}),
    ):
        assert not schema(name).is_valid(payload), (name, payload)


def test_a_record_with_an_undescribed_field_does_not_match() -> None:
    (reading, *_) = record_examples()[topics.TELEMETRY]
    assert wrong_with(topics.TELEMETRY, reading) is None
    assert wrong_with(topics.TELEMETRY, reading | {"usedPowerKW": 1.0}) is not None
    assert wrong_with(topics.TELEMETRY, reading | {"timestamp": "yesterday"}) is not None


@pytest.mark.parametrize(
    "command",
    [
        commands.event_command("ven-1", "evt-1", 2.5, 60),
        commands.restore_command("ven-1", "evt-1"),
        commands.restore_command("ven-1", None),
        commands.shed_load_command("ven-1", "ev1", 2.0, None, None),
        commands.shed_load_command("ven-1", "ev1", 2.0, 900, "evt-1"),
        commands.shed_panel_command("ven-1", "evt-1", 1.5, 600),
        commands.set_load_command("ven-1", "ev1", enabled=False, capacity_kw=3.5, priority=1),
        commands.other_command("ven-1", "setConfig", {"report_interval_seconds": 15}),
        commands.other_command("ven-1", "get", {"what": "status"}),
        commands.other_command("ven-1", "ping", None),
        commands.other_command("ven-1", "reboot", None),
    ],
    ids=lambda command: f"{command.op}-{command.event_id}",
)
def test_every_command_matches_one_schema(command: commands.Command) -> None:
    valid = [name for name in names_in("mqtt.commands") if schema(name, strict=True).is_valid(command.payload)]
    assert len(valid) == 1


def test_examples_are_valid_and_come_from_recordings_or_docs() -> None:
    said = {(topic, json.dumps(json.loads(payload))) for topic, payload in recorded() if payload[:1] == "{"}
    words = (FILE.parent / "messages.md").read_text()
    shown = [
        json.dumps(json.loads(block)) for block in re.findall(r"^```json\n(.*?)^```", words, re.DOTALL | re.MULTILINE)
    ]
    for name, examples in message_examples().items():
        for example in examples:
            payload = example["payload"]
            assert schema(name).is_valid(payload), example
            if payload.get("op") == commands.SHED_PANEL:
                sent = commands.shed_panel_command("ven-001", "evt-10", 1.5, 600).payload
                assert sent | {"correlationId": payload["correlationId"]} == payload
            else:
                assert (example["topic"], json.dumps(payload)) in said or json.dumps(payload) in shown, example
    assert message_examples().keys() == {*sum(MESSAGES.values(), ()), *command_schemas()} - {"OtherMessage"}
    for topic, records in record_examples().items():
        for record in records:
            assert wrong_with(topic, record) is None
