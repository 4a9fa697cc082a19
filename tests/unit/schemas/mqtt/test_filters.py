"""Narrower, wider, covered: compared with what paho says of topics."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from schemas.mqtt.filters import covers, matches, uncovered, width

LEVELS = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)


@st.composite
def plain_filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(LEVELS | st.just("+"), max_size=4))
    if not levels or draw(st.booleans()):
        levels.append("#")
    return "/".join(levels)


FILTERS = plain_filters() | plain_filters().map("$share/g/".__add__)


def witnesses(topic_filter: str) -> list[str]:
    """Topics that the filter matches, and a wide one only if it covers it: names that occur nowhere else."""
    levels = ["other" if level == "+" else level for level in topic_filter.split("/")]
    if levels[-1] != "#":
        return ["/".join(levels)]
    below = ["/".join([*levels[:-1], *["other"] * depth]) for depth in range(4)]
    return [topic for topic in below if topic_matches_sub(topic_filter, topic)]


@given(plain_filters(), plain_filters())
@settings(max_examples=400)
def test_a_filter_covers_another_when_it_matches_all_its_topics(wide: str, narrow: str) -> None:
    # The one pair that is spelt differently and means the same: no topic is without a level.
    if (wide, narrow) != ("+/#", "#"):
        assert covers(wide, narrow) == all(topic_matches_sub(wide, topic) for topic in witnesses(narrow))


@given(plain_filters(), plain_filters(), TOPICS)
def test_a_covering_filter_matches_all_that_the_covered_does(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and topic_matches_sub(narrow, topic):
        assert topic_matches_sub(wide, topic)


@given(plain_filters(), plain_filters())
@settings(max_examples=400)
def test_a_covered_filter_is_the_narrower_one(wide: str, narrow: str) -> None:
    if covers(wide, narrow) and wide != narrow:
        assert width(narrow) < width(wide)
        assert not covers(narrow, wide)


@given(FILTERS, FILTERS, TOPICS)
def test_only_equal_filters_are_equally_narrow(one: str, other: str, topic: str) -> None:
    if matches(one, topic) and matches(other, topic) and width(one) == width(other):
        assert one.removeprefix("$share/g/") == other.removeprefix("$share/g/")


@given(st.lists(FILTERS, max_size=8), TOPICS)
def test_dropping_covered_filters_loses_no_topic(filters: list[str], topic: str) -> None:
    kept = uncovered(filters)
    assert any(matches(name, topic) for name in kept) == any(matches(name, topic) for name in filters)
    assert not any(covers(one, other) for one in kept for other in kept if one != other)
    assert len(set(kept)) == len(kept)
    assert [name for name in dict.fromkeys(filters) if name in kept] == kept


@given(st.lists(FILTERS, max_size=6).flatmap(lambda names: st.tuples(st.just(names), st.permutations(names))))
def test_the_kept_filters_do_not_depend_on_the_order(orders: tuple[list[str], list[str]]) -> None:
    assert set(uncovered(orders[0])) == set(uncovered(orders[1]))


@pytest.mark.parametrize(
    ("narrower", "wider"),
    [
        ("a/b/c", "a/b/+"),
        ("a/b/+", "a/+/c"),
        ("a/b/+", "a/b/#"),
        ("a/b", "a/b/#"),
        ("a/+/c", "a/+/+"),
        ("a/+/+", "a/#"),
        ("a/#", "+/b"),
        ("+/b/c", "+/#"),
        ("+/+", "#"),
    ],
)
def test_a_name_is_narrower_than_plus_and_plus_than_hash(narrower: str, wider: str) -> None:
    assert width(narrower) < width(wider)


def test_shared_subscriptions_are_kept_unchanged() -> None:
    both = ["a/#", "$share/g/a/b", "$share/g/a/+", "$share/h/a/+", "a/b"]
    assert uncovered(both) == both[:-1]


def test_a_leading_wildcard_covers_no_dollar_topic() -> None:
    apart = ["#", "$aws/things/+/shadow/update", "$SYS/#"]
    assert uncovered(apart) == apart
    assert uncovered(["$aws/#", "$aws/things/+/shadow/update"]) == ["$aws/#"]
