"""What a topic carries and whose it is, for every setting of the topics."""

import pytest

from schemas.mqtt.routing import ACK_FILTER, Kind, Routes
from schemas.records.topics import RAW, raw_topic
from schemas.settings.mqtt import MqttTopicSettings

SHADOW = "$aws/things/ven-1/shadow/update"
DEFAULTS = {
    "volttron/metering": Kind.METERING,
    "volttron/dev": Kind.STATUS,
    "openadr/event": Kind.EVENTS,
    "openadr/response": Kind.RESPONSES,
    "ven/ack/ven-1": Kind.ACKS,
    SHADOW: Kind.SHADOW,
}


def routes(**given: str) -> Routes:
    return MqttTopicSettings.load(**given).routes


@pytest.mark.parametrize(("topic", "kind"), DEFAULTS.items())
def test_topics_have_the_kinds_of_the_contract(topic: str, kind: Kind) -> None:
    assert routes().kind_of(topic) is kind


def test_the_defaults_subscribe_to_the_topics_of_the_contract() -> None:
    shadow = "$aws/things/+/shadow/update"
    named = ["volttron/metering", "volttron/dev", "openadr/event", "openadr/response", shadow, "ven/ack/+"]
    assert routes().filters == named


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("mqtt_topic_metering", Kind.METERING),
        ("mqtt_topic_status", Kind.STATUS),
        ("mqtt_topic_events", Kind.EVENTS),
        ("mqtt_topic_responses", Kind.RESPONSES),
        ("backend_loads_topic", Kind.LOADS),
        ("mqtt_topic_shadow", Kind.SHADOW),
    ],
)
def test_every_topic_setting_may_be_a_filter_and_empty_is_off(setting: str, kind: Kind) -> None:
    plus, sharp = routes(**{setting: "site/+/x"}), routes(**{setting: "site/#"})
    assert plus.kind_of("site/a/x") is kind
    assert plus.kind_of("site/a/b/x") is plus.kind_of("site/x") is Kind.OTHER
    assert sharp.kind_of("site/a/b/c") is sharp.kind_of("site/a") is sharp.kind_of("site") is kind
    assert sharp.kind_of("sites/a") is Kind.OTHER
    assert "" not in routes(**{setting: ""}).filters
    assert "site/+/x" in plus.filters


def test_an_empty_setting_disables_its_topic() -> None:
    off = routes(mqtt_topic_metering="", mqtt_topic_shadow="")
    assert off.kind_of("volttron/metering") is off.kind_of(SHADOW) is Kind.OTHER
    assert "volttron/metering" not in off.filters
    assert not any(name.startswith("$aws") for name in off.filters)


def test_acknowledgements_are_subscribed_to_always() -> None:
    names = ("metering", "status", "events", "responses", "shadow")
    assert routes(**{f"mqtt_topic_{name}": "" for name in names}).filters == [ACK_FILTER]


@pytest.mark.parametrize("leading", ["#", "+/#", "+/things/+/shadow/update", "+/+/+/+/+"])
def test_a_leading_wildcard_matches_no_dollar_topic(leading: str) -> None:
    assert routes(mqtt_topic_metering=leading).kind_of(SHADOW) is Kind.SHADOW
    assert routes(mqtt_topic_metering=leading, mqtt_topic_shadow="").kind_of(SHADOW) is Kind.OTHER
    assert routes(mqtt_topic_metering=leading).kind_of("$SYS/things/a/shadow/update") is Kind.OTHER
    assert routes(mqtt_topic_metering=leading).kind_of("aws/things/a/shadow/update") is Kind.METERING


def test_a_wide_shadow_filter_matches_all_shadow_topics() -> None:
    wide = routes(mqtt_topic_shadow="$aws/things/+/shadow/#")
    for last in ("update", "get", "update/delta"):
        topic = f"$aws/things/ven-1/shadow/{last}"
        assert wide.kind_of(topic) is Kind.SHADOW


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("ven/telemetry/ven-1", Kind.METERING),
        ("oadr/meter/ven-1", Kind.METERING),
        ("ven/loads/ven-1", Kind.LOADS),
        ("ven/telemetry/ven-1/x", Kind.OTHER),
        ("ven/telemetry", Kind.OTHER),
        ("site/weather", Kind.OTHER),
    ],
)
@pytest.mark.parametrize("extra", ["ven/telemetry/+,oadr/meter/+,ven/loads/+,site/weather", "#", "ven/#, oadr/#"])
def test_extra_topics_get_the_kind_of_their_pattern(extra: str, topic: str, kind: Kind) -> None:
    assert routes(mqtt_topics=extra).kind_of(topic) is kind


def test_extra_topics_are_split_at_commas_and_deduplicated() -> None:
    extra = routes(mqtt_topics=" ven/telemetry/+ ,, a/b,a/b , volttron/metering,").filters
    assert extra == [*routes().filters, "ven/telemetry/+", "a/b"]
    assert routes(mqtt_topics=" , ").filters == routes().filters


def test_a_named_topic_keeps_its_kind_under_a_wide_extra_filter() -> None:
    wide = routes(mqtt_topics="#")
    assert {topic: wide.kind_of(topic) for topic in DEFAULTS} == DEFAULTS


def test_every_kind_has_its_raw_topic() -> None:
    assert {raw_topic(kind) for kind in Kind} == {topic.name for topic in RAW}
    assert raw_topic(Kind.OTHER) == "ven.raw.other"
