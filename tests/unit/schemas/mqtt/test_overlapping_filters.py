"""Several filters match one topic: the narrowest says what it carries, in whatever order the settings name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mqtt.filters import covers, matches
from schemas.mqtt.routing import KNOWN_PATTERNS, Kind, Route, Routes
from schemas.settings.mqtt import MqttTopicSettings
from tests.unit.schemas.mqtt.test_filters import FILTERS, TOPICS
from tests.unit.schemas.mqtt.test_routing import DEFAULTS

ROUTES = st.lists(
    st.builds(Route, FILTERS | st.sampled_from(["ven/#", "ven/loads/+", "ven/+/a"]), st.none() | st.sampled_from(Kind)),
    max_size=6,
)
NAMES = TOPICS | st.sampled_from(["ven/loads/a", "ven/ack/a", "ven/x/a"])


def kind(topic: str, **given: str) -> Kind:
    return MqttTopicSettings.load(**given).routes.kind_of(topic)


@given(ROUTES.flatmap(lambda routes: st.tuples(st.just(routes), st.permutations(routes))), NAMES)
def test_the_order_of_settings_does_not_matter(orders: tuple[list[Route], list[Route]], topic: str) -> None:
    one, other = map(Routes, orders)
    assert one.kind_of(topic) is other.kind_of(topic)
    assert one.kinds == other.kinds


@given(ROUTES, NAMES)
def test_a_filter_that_covers_a_narrower_match_is_ignored(routes: list[Route], topic: str) -> None:
    matching = [route for route in routes if matches(route.filter, topic)]
    known = [pattern for pattern, _ in KNOWN_PATTERNS if matches(pattern, topic)]
    narrow = [
        route
        for route in matching
        if not any(covers(route.filter, name) and route.filter != name for name in known)
        and not any(covers(route.filter, other.filter) and route.filter != other.filter for other in matching)
    ]
    assert Routes(routes).kind_of(topic) is Routes(narrow).kind_of(topic)


@given(ROUTES, ROUTES, NAMES)
def test_earlier_settings_apply_only_where_none_matches_now(
    routes: list[Route], former: list[Route], topic: str
) -> None:
    today, before = Routes(routes), Routes(former)
    expected = today if any(matches(route.filter, topic) for route in routes) else before
    assert today.after(former).kind_of(topic) is expected.kind_of(topic)


@given(st.text())
def test_any_text_has_a_kind(topic: str) -> None:
    assert kind(topic, mqtt_topics="#") in Kind


@pytest.mark.parametrize(("topic", "known"), DEFAULTS.items())
@pytest.mark.parametrize("setting", ["mqtt_topic_metering", "mqtt_topic_status", "backend_loads_topic", "mqtt_topics"])
def test_a_catch_all_filter_changes_no_other_kind(setting: str, topic: str, known: Kind) -> None:
    names = {"mqtt_topic_metering": Kind.METERING, "mqtt_topic_status": Kind.STATUS}
    if names.get(setting) is not known:
        assert kind(topic, **{setting: "#"}) is known


def test_a_wide_setting_does_not_override_known_patterns() -> None:
    wide = {"mqtt_topic_metering": "ven/#"}
    assert kind("ven/ack/x", **wide) is Kind.ACKS
    assert kind("ven/loads/x", **wide) is Kind.LOADS
    assert kind("ven/site/x", **wide) is kind("ven/ack/x/y", **wide) is Kind.METERING
    assert kind("ven/loads/x", mqtt_topic_metering="ven/+/+") is Kind.LOADS


def test_a_setting_wins_over_an_equally_narrow_pattern() -> None:
    assert kind("ven/loads/x", mqtt_topic_status="ven/loads/+") is Kind.STATUS
    assert kind("ven/loads/x", mqtt_topic_status="ven/loads/x") is Kind.STATUS
    assert kind("ven/loads/x", mqtt_topic_status="$share/g/ven/loads/+") is Kind.STATUS
    assert kind("ven/ack/x", mqtt_topic_status="ven/ack/+") is Kind.STATUS


def test_of_two_settings_the_narrower_wins() -> None:
    site = {"mqtt_topic_metering": "site/#", "mqtt_topic_status": "site/+/status"}
    assert kind("site/a/status", **site) is Kind.STATUS
    assert kind("site/a/power", **site) is kind("site/a/status/x", **site) is Kind.METERING


def test_a_narrower_extra_topic_wins_over_a_setting() -> None:
    building = {"mqtt_topic_metering": "building/#", "mqtt_topics": "building/door, building/+/lift"}
    assert kind("building/door", **building) is kind("building/a/lift", **building) is Kind.OTHER
    assert kind("building/window", **building) is kind("building/door/a", **building) is Kind.METERING


def test_an_extra_topic_no_narrower_changes_nothing() -> None:
    for extra in ("site/+", "site/#", "#", "+/a"):
        assert kind("site/a", mqtt_topic_metering="site/+", mqtt_topics=extra) is Kind.METERING


def test_an_extra_topic_of_a_known_pattern_has_its_kind() -> None:
    extra = {"mqtt_topic_metering": "ven/#", "mqtt_topics": "ven/loads/a, $share/g/oadr/meter/b"}
    assert kind("ven/loads/a", **extra) is Kind.LOADS
    assert kind("oadr/meter/b", **extra) is Kind.METERING
    assert kind("ven/loads/a", mqtt_topics="ven/loads/a", mqtt_topic_metering="ven/loads/+") is Kind.LOADS


def test_a_filter_in_two_settings_has_one_kind_in_any_order() -> None:
    both = [Route("a", Kind.STATUS), Route("a", Kind.METERING), Route("a", None)]
    assert Routes(both).kind_of("a") is Routes(both[::-1]).kind_of("a") is Kind.METERING
    assert Routes(both).kinds == Routes(both[::-1]).kinds == {"a": Kind.METERING}


def test_the_newest_matching_earlier_setting_wins() -> None:
    former = [Route("a/b", Kind.METERING, 1), Route("a/#", Kind.STATUS, 2), Route("a/b/+", Kind.EVENTS, 2)]
    routes = Routes([Route("x", None)]).after(former)
    assert routes.kind_of("a/b") is routes.kind_of("a/c") is Kind.STATUS
    assert routes.kind_of("a/b/c") is Kind.EVENTS
    assert routes.kind_of("x") is routes.kind_of("b") is Kind.OTHER


STRANGE = [
    "",
    "/",
    "//",
    ".",
    "..",
    "../../etc/passwd",
    "a/../b",
    "%",
    "%s%n%(x)s",
    "100%/a",
    "{}",
    "ü/ñ/電力",
    "\U0001f50b",
]


@pytest.mark.parametrize("topic", [*STRANGE, "\ufffd", "a\0b", "+", "#", "a/#/b", "/" * 65_535, "x" * 65_535])
def test_unusual_topic_names_are_routed(topic: str) -> None:
    wide = {"mqtt_topic_metering": "#", "mqtt_topics": "/".join("+" * 200)}
    assert kind(topic, **wide) is Kind.METERING
    assert kind(topic) is Kind.OTHER
