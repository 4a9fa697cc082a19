"""Which topics `up` hears, and that the fleets of `demo` and `bench` are heard whatever is set."""

from pathlib import Path

import pytest

from gateway.local.system import default_topics, topic_settings
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttTopicSettings


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in MqttTopicSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_default_topics_without_settings() -> None:
    assert topic_settings({}) == default_topics()
    assert default_topics()["MQTT_TOPICS"] == "ven/telemetry/+"
    assert default_topics()["BACKEND_LOADS_TOPIC"] == "ven/loads/+"


def test_environment_and_file_override_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_LOADS_TOPIC", "")
    Path(".env").write_text("MQTT_TOPICS=site/#\nMQTT_TOPIC_METERING=site/+/power\n")
    chosen = {"BACKEND_LOADS_TOPIC": "", "MQTT_TOPICS": "site/#", "MQTT_TOPIC_METERING": "site/+/power"}
    assert topic_settings({}) == default_topics() | chosen


def test_arguments_override_environment_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in default_topics():
        monkeypatch.setenv(name, "environment")
    Path(".env").write_text("".join(f"{name}=file\n" for name in default_topics()))
    assert topic_settings(default_topics()) == default_topics()


def test_invalid_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_TOPICS", "ven/+bad")
    with pytest.raises(SettingsError, match="MQTT_TOPICS"):
        topic_settings({})
