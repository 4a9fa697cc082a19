"""The files of deploy/mosquitto fit compose.yaml and the topics of the gateway."""

import re

import pytest

from gateway.certs.folder import BRIDGE
from schemas.mqtt.filters import matches
from schemas.mqtt.sender import ven_id_in_topic
from schemas.settings.mqtt import MqttTopicSettings
from tests.support.compose import SERVICES, as_fields, environment
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("default_settings")


def test_the_acl_limits_a_ven_to_its_own_topics() -> None:
    """What a VEN may write names it in the topic, and the gateway believes the topic."""
    lines = (ROOT / "deploy/mosquitto/acl").read_text().splitlines()
    patterns = [line.split()[1:] for line in lines if line.startswith("pattern ")]
    given = environment("bridge")
    routes = MqttTopicSettings(**as_fields({name: value for name, value in given.items() if "TOPIC" in name})).routes
    for access, topic in patterns:
        assert "%u" in topic.split("/")
        concrete = topic.replace("%u", "ven-1")
        if access == "write":
            assert ven_id_in_topic(routes.kind_of(concrete), concrete) == "ven-1"
            assert any(matches(name, concrete) for name in routes.filters)
    assert [line for line in lines if line.startswith("user ")] == [f"user {BRIDGE}"]
    assert [line for line in lines if line.startswith("topic ")] == [
        "topic read #",
        "topic read $aws/#",
        "topic write ven/cmd/+",
    ]


def test_the_mosquitto_queue_fits_into_its_memory_limit() -> None:
    """Measured with mosquitto 2.0.11: 390 bytes for each message beside its payload."""
    configuration = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
    most = {name: int(number) for name, number in re.findall(r"^max_queued_(\w+) (\d+)$", configuration, re.MULTILINE)}
    limit = SERVICES["mosquitto"]["deploy"]["resources"]["limits"]["memory"]
    assert limit.endswith("G")
    assert 0 < most["bytes"] + 400 * most["messages"] < 0.95 * int(limit[:-1]) * 2**30
