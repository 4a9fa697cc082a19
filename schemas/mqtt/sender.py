"""Which VEN an MQTT message belongs to: the bridge keys records by it, and the parsers check payloads against it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.filters import matches
from schemas.mqtt.routing import KNOWN_PATTERNS, Kind
from schemas.parsing.common import check_ven_id, first_of, ven_id_of

_TOPIC_DECIDES = frozenset({Kind.ACKS, Kind.SHADOW})
"""Kinds whose topic always names the VEN; in others the payload does, and the topic may."""
_THINGS = ["$aws", "things"]
# In topics of these forms the id is the VEN's; in `oadr/meter/+` it may be a meter's.
_OF_A_VEN = tuple(pattern for pattern, _ in KNOWN_PATTERNS if pattern.startswith("ven/"))
_MAX_CACHED_TOPIC_LENGTH = 256


def sender_of(kind: Kind, topic: str, stated_id: Callable[[], Any]) -> Any:
    """Return the id of the VEN that a message belongs to, None where neither topic nor payload names one.

    The topic decides for acks and shadows. For other kinds the id that the payload states counts before the topic's.
    `stated_id` reads it from the payload; it is called only where it counts, and its result is not checked here.
    """
    if kind in _TOPIC_DECIDES:
        in_topic = ven_id_in_topic(kind, topic)
        return stated_id() if in_topic is None else in_topic
    return stated_id() or ven_id_in_topic(kind, topic)


def parse_ven_id(kind: Kind, topic: str, document: Mapping[str, Any]) -> str:
    """Return the VEN id of a payload in either spelling, or of the topic if the payload has none.

    Raises:
        RejectedError: missing_id or bad_id.
    """
    in_topic = ven_id_in_topic(kind, topic) if first_of(document, "venId", "ven_id") is None else None
    return ven_id_of(document) if in_topic is None else in_topic


def check_sender(kind: Kind, topic: str, ven_id: str | None) -> None:
    """Check that a payload names the VEN of its topic: brokers let a VEN publish to its own topics only.

    Raises:
        RejectedError: id_mismatch.
    """
    find = _cached_ven_id_in_topic if len(topic) <= _MAX_CACHED_TOPIC_LENGTH else ven_id_in_topic
    in_topic = find(kind, topic)
    if in_topic is not None and ven_id not in (None, in_topic):
        raise RejectedError(Reason.ID_MISMATCH, f"the topic is of {in_topic!r}, the payload of {ven_id!r}")


def ven_id_in_topic(kind: Kind, topic: str) -> str | None:
    """Return the VEN id where a topic of this kind names one: the thing name of a shadow, else the last level."""
    levels = topic.split("/")
    if kind is Kind.SHADOW:
        candidate = _thing(levels)
    elif kind is Kind.ACKS or any(matches(pattern, topic) for pattern in _OF_A_VEN):
        candidate = levels[-1]
    else:
        return None
    try:
        return check_ven_id(candidate)
    except RejectedError:
        return None


# Matching patterns costs more than all else in a check, and devices keep to their topics.
_cached_ven_id_in_topic = lru_cache(maxsize=100_000)(ven_id_in_topic)


def _thing(levels: list[str]) -> str:
    """Of $aws/things/<thing>/shadow/…; under other names it stands before the level `shadow`, or after it."""
    if levels[:2] == _THINGS:
        return levels[2] if len(levels) > 2 else ""  # noqa: PLR2004 - the third level
    at = levels.index("shadow") if "shadow" in levels else len(levels)
    return levels[at - 1] if at else levels[1] if len(levels) > 1 else ""
