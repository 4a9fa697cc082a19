"""The settings of the MQTT side: defaults, completeness of TLS, and which texts are topic filters."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.mqtt.filters import check_filter
from schemas.settings.blocks import SettingsError
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

BROKER: dict[str, Any] = {"mqtt_host": "broker.example", "mqtt_port": 8883}
CA = {"mqtt_ca_cert": "ca.pem"}
PAIR = {"mqtt_client_cert": "cert.pem", "mqtt_client_key": "key.pem"}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine, and no .env of the project, takes part."""
    monkeypatch.chdir(tmp_path)
    for name in (*MqttSettings.model_fields, *MqttTopicSettings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)


def message(block: type[MqttSettings | MqttTopicSettings] = MqttSettings, **given: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        block.load(**given)
    return str(caught.value)


def test_the_connection_has_the_defaults_of_the_contract() -> None:
    block = MqttSettings.load(**BROKER, **CA, **PAIR)
    assert (block.mqtt_enabled, block.mqtt_use_tls, block.mqtt_keepalive) == (True, True, 60)
    assert block.mqtt_client_id
    assert (block.mqtt_username, block.mqtt_password.get_secret_value(), block.mqtt_tls_server_name) == ("", "", "")


def test_the_topics_have_the_defaults_of_the_contract() -> None:
    assert MqttTopicSettings.load().model_dump() == {
        "mqtt_topic_metering": "volttron/metering",
        "mqtt_topic_status": "volttron/dev",
        "mqtt_topic_events": "openadr/event",
        "mqtt_topic_responses": "openadr/response",
        "backend_loads_topic": "",
        "mqtt_topic_shadow": "$aws/things/+/shadow/update",
        "mqtt_topics": "",
    }


def test_an_empty_topic_setting_is_off_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_TOPIC_SHADOW", "")
    monkeypatch.setenv("BACKEND_LOADS_TOPIC", "ven/loads/+")
    block = MqttTopicSettings.load()
    assert (block.mqtt_topic_shadow, block.backend_loads_topic) == ("", "ven/loads/+")


def test_all_missing_settings_are_named_together() -> None:
    text = message()
    names = ("MQTT_HOST", "MQTT_PORT", "MQTT_CA_CERT", "MQTT_CLIENT_CERT")
    assert [text.count(f"{name} is not set") for name in names] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("given_settings", "named"),
    [
        ({"mqtt_port": 8883}, "MQTT_HOST"),
        ({"mqtt_host": "h"}, "MQTT_PORT"),
        (BROKER, "MQTT_CA_CERT"),
        (BROKER | PAIR, "MQTT_CA_CERT"),
        (BROKER | CA, "MQTT_CLIENT_CERT"),
        (BROKER | CA | {"mqtt_client_cert": "c"}, "MQTT_CLIENT_KEY"),
        (BROKER | CA | {"client_cert_pem": "c"}, "MQTT_CLIENT_KEY"),
        (BROKER | CA | {"mqtt_client_key": "k"}, "MQTT_CLIENT_CERT"),
        (BROKER | CA | {"private_key_pem": "k", "mqtt_username": "u"}, "MQTT_CLIENT_CERT"),
    ],
)
def test_missing_settings_are_named_before_wrong_ones(given_settings: dict[str, Any], named: str) -> None:
    assert message(**given_settings).startswith(f"{named} is not set")


@pytest.mark.parametrize(
    "given_settings",
    [
        {"mqtt_enabled": False},
        BROKER | {"mqtt_use_tls": False},
        BROKER | CA | PAIR,
        BROKER | CA | {"mqtt_username": "u"},
        BROKER | {"ca_cert_pem": "text", "mqtt_username": "u"},
        BROKER | CA | {"client_cert_pem": "text", "private_key_pem": "text"},
        BROKER | CA | {"client_cert_pem": "text", "mqtt_client_key": "key.pem"},
        BROKER | {"ca_cert_pem": "text", "mqtt_client_cert": "cert.pem", "private_key_pem": "text"},
    ],
)
def test_files_pem_text_or_both_are_accepted(given_settings: dict[str, Any]) -> None:
    assert MqttSettings.load(**given_settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MQTT_PORT", "65536"),
        ("MQTT_PORT", "mqtt"),
        ("MQTT_KEEPALIVE", "4"),
        ("MQTT_USE_TLS", "perhaps"),
        ("MQTT_ENABLED", "2"),
    ],
)
def test_a_wrong_value_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert message().startswith(f"{name}: ")


def test_everything_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "MQTT_HOST": "h",
        "MQTT_PORT": "443",
        "MQTT_USE_TLS": "true",
        "MQTT_KEEPALIVE": "30",
        "MQTT_CLIENT_ID": "b",
    }
    texts |= {"CA_CERT_PEM": "ca", "CLIENT_CERT_PEM": "cert", "PRIVATE_KEY_PEM": "key", "MQTT_TLS_SERVER_NAME": "n"}
    for name, value in texts.items():
        monkeypatch.setenv(name, value)
    block = MqttSettings.load()
    assert (block.mqtt_host, block.mqtt_port, block.mqtt_keepalive, block.mqtt_client_id) == ("h", 443, 30, "b")
    assert block.ca_cert_pem.get_secret_value() == "ca"
    assert (block.client_cert_pem.get_secret_value(), block.private_key_pem.get_secret_value()) == ("cert", "key")
    assert block.mqtt_tls_server_name == "n"


def test_settings_hide_secrets_and_are_frozen() -> None:
    block = MqttSettings.load(
        **BROKER, **CA, mqtt_username="u", mqtt_password="hunter2", private_key_pem="", ca_cert_pem="s3"
    )
    assert "hunter2" not in repr(block)
    assert "s3" not in repr(block)
    with pytest.raises(ValidationError):
        setattr(block, "mqtt_host", "other")  # noqa: B010 - a type checker would refuse the plain way


VALID = [
    "a",
    "a/b",
    "+",
    "#",
    "a/+",
    "+/b",
    "a/+/b",
    "a/#",
    "+/#",
    "/",
    "/a",
    "a/",
    "a//b",
    "$aws/things/+/shadow/#",
    "ü",
    "a b",
    "50%/..//.",
    "$share/g/a/+",
    "$share/g/#",
    "/" * 199,
    "\U0001f50b",
]
INVALID = ["a#", "#a", "a/#/b", "#/", "##", "a+", "+a", "a/+b/c", "++", "a/b+/#", "a/b#", "a\0", "ü" * 32_768]


@pytest.mark.parametrize("value", VALID)
def test_a_valid_topic_filter_is_accepted(value: str) -> None:
    check_filter(value)
    assert value in MqttTopicSettings.load(mqtt_topics=value).routes.filters


@pytest.mark.parametrize("value", INVALID)
@pytest.mark.parametrize("setting", ["mqtt_topic_metering", "mqtt_topic_shadow", "backend_loads_topic", "mqtt_topics"])
def test_an_invalid_topic_filter_is_refused_with_a_hint(setting: str, value: str) -> None:
    assert "is not an MQTT topic filter" in message(MqttTopicSettings, **{setting: value})


@pytest.mark.parametrize("value", ["a\tb", "a\x7f", "a\x85", "a/\ufdd0", "a/\uffff", "\U0010fffe", "/" * 200])
def test_a_filter_that_brokers_disconnect_for_is_refused(value: str) -> None:
    assert "is not an MQTT topic filter" in message(MqttTopicSettings, mqtt_topic_status=value)


@pytest.mark.parametrize("value", ["$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a", "$share/"])
def test_a_shared_subscription_has_a_group_and_a_filter(value: str) -> None:
    with pytest.raises(ValueError, match=r"shared subscription|topic filter"):
        check_filter(value)


def test_text_that_is_not_utf_8_is_refused() -> None:
    assert message(MqttTopicSettings, mqtt_topic_status="a\udcff").startswith("MQTT_TOPIC_STATUS")


def test_a_comma_separates_only_in_mqtt_topics() -> None:
    assert "a,b" in MqttTopicSettings.load(mqtt_topic_status="a,b").routes.filters
    assert "is not an MQTT topic filter" in message(MqttTopicSettings, mqtt_topic_status="a,+")


def test_one_bad_extra_topic_among_good_ones_is_found() -> None:
    assert "'b#'" in message(MqttTopicSettings, mqtt_topics="a/+, b#, c")


@given(st.lists(st.sampled_from(["a", "b", "+", "#", ""]), min_size=1, max_size=5))
def test_whole_level_wildcards_are_valid_with_hash_at_the_end(levels: list[str]) -> None:
    value = "/".join(levels)
    if "#" in levels[:-1] or not value:
        with pytest.raises(ValueError, match="not an MQTT topic filter"):
            check_filter(value)
    else:
        check_filter(value)
