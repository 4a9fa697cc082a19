"""The registry of the log's topics."""

import re

import pytest

from schemas.mqtt.routing import Kind
from schemas.records.topics import CANONICAL, DEAD_LETTER_SUFFIX, DISABLED, LIVE_LOADS, RAW, SHADOW, TOPICS, TopicNames

NAMES = [topic.name for topic in TOPICS]


def test_names_are_unique_and_legal_under_the_longest_prefix() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,185}", name) for name in NAMES)
    # The log's metrics cannot tell dots from underscores.
    assert len({name.replace("_", ".") for name in NAMES}) == len(NAMES)


def test_every_source_has_a_topic_for_its_dead_letters() -> None:
    for topic in RAW + CANONICAL:
        assert TopicNames("").dead_letters(topic.name) == topic.name + DEAD_LETTER_SUFFIX
        assert topic.name + DEAD_LETTER_SUFFIX in NAMES
    assert len([name for name in NAMES if name.endswith(DEAD_LETTER_SUFFIX)]) == len(RAW + CANONICAL)


@pytest.mark.parametrize("prefix", ["", "site-1."])
def test_the_prefix_precedes_every_name_once(prefix: str) -> None:
    names = TopicNames(prefix)
    assert [name for name, _ in names] == [prefix + name for name in NAMES]
    assert names.raw(Kind.METERING) == prefix + "ven.raw.metering"
    assert names.dead_letters(names.raw(Kind.ACKS)) == prefix + "ven.raw.acks.dlq"


def test_messages_are_deleted_by_age_and_states_compacted() -> None:
    compacted = {topic.name for topic in TOPICS if topic.cleanup == "compact"}
    assert compacted.isdisjoint(topic.name for topic in RAW)
    assert compacted.intersection(topic.name for topic in CANONICAL) == {SHADOW}
    by_ven = {SHADOW, DISABLED, LIVE_LOADS}
    totals = (topic for topic in TOPICS if topic.cleanup == "compact" and topic.name not in by_ven)
    assert all(topic.partitions == 1 for topic in totals)
