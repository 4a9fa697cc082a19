"""MQTT topic filters: validity, matching, specificity, and which filter covers another."""

import unicodedata
from collections.abc import Iterable

from paho.mqtt.client import topic_matches_sub

MAX_TOPIC_BYTES = 65_535
# The limit of mosquitto.
MAX_LEVELS = 200

_SHARED = "$share/"
_NAME, _PLUS, _SHARP = range(3)
_WIDTHS = {"+": _PLUS, "#": _SHARP}


def check_filter(value: str) -> None:
    """Raise ValueError unless the text is an MQTT topic filter that every broker accepts.

    Brokers close the connection when they receive an invalid filter, even in UNSUBSCRIBE.
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
    if not has_valid_characters(value):
        raise ValueError(f"{value!r} is not an MQTT topic filter: it holds control characters")


def has_valid_characters(text: str) -> bool:
    """Return whether brokers accept all characters of a text in a topic: no control, surrogate or noncharacter.

    Brokers may close the connection otherwise (MQTT 5.0, section 1.5.4).
    """
    # Nearly all texts are printable, which is quick to check.
    return text.isprintable() or all(map(_is_valid, text))


def _is_valid(character: str) -> bool:
    code = ord(character)
    # Unicode noncharacters: the last two code points of each plane, and U+FDD0 to U+FDEF.
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - code points by definition
    return not noncharacter and unicodedata.category(character) not in {"Cc", "Cs"}


def is_shared(topic_filter: str) -> bool:
    """Return whether it is a shared subscription, $share/<group>/<filter>."""
    return topic_filter.startswith(_SHARED)


def unshared(topic_filter: str) -> str:
    """Return the filter inside a shared subscription; other filters unchanged."""
    return topic_filter.split("/", 2)[-1] if is_shared(topic_filter) else topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether the filter matches the topic."""
    return topic_matches_sub(unshared(topic_filter), topic)


def width(topic_filter: str) -> tuple[int, ...]:
    """Return the sort key that puts the most specific of several matching filters first.

    Filters are compared level by level from the left: a name is more specific than +, and + is more specific than #.
    So an exact topic comes before every other filter, and a covered filter before the one that covers it.
    """
    return tuple(_WIDTHS.get(level, _NAME) for level in unshared(topic_filter).split("/"))


def covers(wide: str, narrow: str) -> bool:
    """Return whether the first filter matches every topic that the second one matches.

    A shared subscription covers nothing and is covered by nothing: other clients receive a part of its messages.
    """
    if is_shared(wide) or is_shared(narrow):
        return wide == narrow
    outer, inner = wide.split("/"), narrow.split("/")
    if inner[0].startswith("$") and outer[0] in _WIDTHS:
        return False  # a leading wildcard does not match topics such as $aws/…
    if outer[-1] == "#":
        outer.pop()
        # It matches any number of levels, including none.
        inner = inner[: len(outer)]
    return len(inner) == len(outer) and all(
        mine == theirs or (mine == "+" and theirs != "#") for mine, theirs in zip(outer, inner, strict=True)
    )


def uncovered(filters: Iterable[str]) -> list[str]:
    """Return the filters without repetitions and without those that another one covers."""
    names = dict.fromkeys(filters)
    wide = [name for name in names if "+" in name or name.endswith("#")]
    return [name for name in names if not any(other != name and covers(other, name) for other in wide)]
