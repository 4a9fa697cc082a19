"""docs/reference/settings.md names every setting with its default, and none that does not exist."""

import re

import pytest

from schemas.settings.access import AccessSettings
from schemas.settings.blocks import (
    ApiSettings,
    Block,
    BridgeSettings,
    DatabaseSettings,
    DispatchSettings,
    KafkaSettings,
    LogSettings,
    RegistrySettings,
    StreamsSettings,
    TraceSettings,
)
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "settings.md"
BLOCKS: list[type[Block]] = [
    DatabaseSettings,
    KafkaSettings,
    RegistrySettings,
    MqttSettings,
    MqttTopicSettings,
    BridgeSettings,
    StreamsSettings,
    DispatchSettings,
    ApiSettings,
    TraceSettings,
    LogSettings,
    AccessSettings,
]
READ_ELSEWHERE = {"GATEWAY_CACHE"}
ROW = re.compile(r"^\| `([A-Z_]+)` \| *(.*?) *\|", re.MULTILINE)


def documented() -> dict[str, str]:
    return {name: default.strip("`") for name, default in ROW.findall(DOCUMENT.read_text())}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_setting_is_documented_with_its_default(block: type[Block]) -> None:
    rows = documented()
    for name, field in block.model_fields.items():
        row = rows[name.upper()]
        default = field.get_default()
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        shown = str(shown).lower() if isinstance(shown, bool) else str(shown)
        # MQTT_HOST and MQTT_PORT have a default that MQTT_ENABLED=false needs, and are required all the same.
        if field.is_required() or row == "required":
            assert row == "required"
        else:
            assert row == shown


def test_every_documented_setting_exists() -> None:
    known = {name.upper() for block in BLOCKS for name in block.model_fields}
    assert documented().keys() - known == READ_ELSEWHERE
