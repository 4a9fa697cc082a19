"""docs/reference/messages.md shows messages that count, of every kind that is heard out of the box."""

import re

import pytest

from gateway.local.system import default_topics
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import Ack
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from schemas.parsing.shadow import Shadow
from schemas.parsing.status import VenStatus
from schemas.parsing.vtn_messages import VtnMessage
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading
from schemas.settings.mqtt import MqttTopicSettings
from tests.support.paths import ROOT
from tests.unit.samples import RECEIVED

TEXT = (ROOT / "docs" / "reference" / "messages.md").read_text()
ROUTES = MqttTopicSettings.load(**default_topics()).routes
RECORDS = {
    "Metering sample": Reading,
    "Fault report": FaultReport,
    "Load snapshot": LoadSnapshot,
    "Status and last will": VenStatus,
    "Acknowledgement": Ack,
    "Device shadow": Shadow,
    "Event of another VTN": VtnMessage,
    "Response to it": VtnMessage,
}


def examples() -> list[tuple[str, str, str]]:
    """Every example with its section's title and topic."""
    found = []
    for section in TEXT.split("\n## ")[1:]:
        topics = re.findall(r"^\*\*Topic\*\*.*?`(.+?)`", section, re.MULTILINE)
        found += [
            (section.splitlines()[0], topics[0], block)
            for block in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        ]
    return found


@pytest.mark.parametrize(("title", "topic", "payload"), examples())
def test_every_example_message_is_accepted(title: str, topic: str, payload: str) -> None:
    parsed = parse(ROUTES.kind_of(topic), payload.encode(), Source(topic, RECEIVED))
    assert isinstance(parsed, Parsed), parsed
    assert isinstance(parsed.record, RECORDS[title])
    assert not parsed.rejected_loads


def test_every_kind_has_an_example() -> None:
    assert {title for title, _, _ in examples()} == RECORDS.keys()
    assert {ROUTES.kind_of(topic) for _, topic, _ in examples()} == set(Kind) - {Kind.OTHER}
