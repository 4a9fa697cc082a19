"""MQTT topic filters: which texts are filters, what they match, which is the narrower one, and which covers another."""

import unicodedata
from collections.abc import Iterable

from paho.mqtt.client import topic_matches_sub

MAX_TOPIC_BYTES = 65_535
# mosquitto takes no deeper one.
MAX_LEVELS = 200

_SHARED = "$share/"
_NAME, _PLUS, _SHARP = range(3)
_WIDTHS = {"+": _PLUS, "#": _SHARP}


def check_filter(value: str) -> None:
    """Raise ValueError unless the text is an MQTT topic filter that every broker takes.

    Brokers close the connection over a bad one, also when it is to be unsubscribed, so none may get that far.
    """
    if is_shared(value):
        _, group, *rest = value.split("/", 2)
        if not group or not rest or any(sign in group for sign in "+#"):
            raise ValueError(f"{value!r} is no shared subscription: its form is $share/<group>/<filter>")
    inner = unshared(value)
    levels = inner.split("/")
    wild = any(sign in level and level != sign for level in levels for sign in "+#")
    if not inner or wild or "#" in levels[:-1] or len(value.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"{value!r} is not an MQTT topic filter: + stands for one whole level, # for all after it")
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"{value!r} is not an MQTT topic filter: it has more than {MAX_LEVELS} levels")
    if not all(map(_may_be_sent, value)):
        raise ValueError(f"{value!r} is not an MQTT topic filter: it holds control characters")


def _may_be_sent(character: str) -> bool:
    code = ord(character)
    # The last two of each plane, and 32 more, are reserved by Unicode for ever.
    return unicodedata.category(character) != "Cc" and code & 0xFFFE != 0xFFFE and not 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004


def is_shared(topic_filter: str) -> bool:
    """Whether the clients of a group share what matches, $share/<group>/<filter>."""
    return topic_filter.startswith(_SHARED)


def unshared(topic_filter: str) -> str:
    """The filter inside a shared subscription; any other as it is."""
    return topic_filter.split("/", 2)[-1] if is_shared(topic_filter) else topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message to this topic comes through a subscription to this filter."""
    return topic_matches_sub(unshared(topic_filter), topic)


def width(topic_filter: str) -> tuple[int, ...]:
    """Sort by this, and of the filters that match a topic the narrowest comes first.

    They are compared level by level from the left: a name is narrower than +, and + is narrower than #. So an exact
    topic is narrower than any other filter, and what is covered is narrower than what covers it.
    """
    return tuple(_WIDTHS.get(level, _NAME) for level in unshared(topic_filter).split("/"))


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that the second filter matches is matched by the first.

    A shared subscription covers nothing and is covered by nothing: a part of its messages goes to others.
    """
    if is_shared(wide) or is_shared(narrow):
        return wide == narrow
    outer, inner = wide.split("/"), narrow.split("/")
    if inner[0].startswith("$") and outer[0] in _WIDTHS:
        return False  # a wildcard in front does not match $aws and the like
    if outer[-1] == "#":
        outer.pop()
        # It stands for whatever follows, and for nothing.
        inner = inner[: len(outer)]
    return len(inner) == len(outer) and all(
        mine == theirs or (mine == "+" and theirs != "#") for mine, theirs in zip(outer, inner, strict=True)
    )


def uncovered(filters: Iterable[str]) -> list[str]:
    """Leave out repetitions, and each filter that another one covers."""
    names = dict.fromkeys(filters)
    wide = [name for name in names if "+" in name or name.endswith("#")]
    return [name for name in names if not any(other != name and covers(other, name) for other in wide)]
