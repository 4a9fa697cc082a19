"""Which kind of message an MQTT topic carries, and which VEN it speaks of."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from paho.mqtt.client import topic_matches_sub

from schemas.payloads import check_ven_id
from schemas.reasons import RejectedError


class Kind(StrEnum):
    """The kinds of uplink message; each has its raw topic in the log."""

    METERING = "metering"
    LOADS = "loads"
    STATUS = "status"
    ACKS = "acks"
    SHADOW = "shadow"
    EVENTS = "events"
    RESPONSES = "responses"
    OTHER = "other"


ACK_FILTER = "ven/ack/+"

# What an extra topic carries when its name has one of these forms.
KNOWN_PATTERNS = (
    ("ven/telemetry/+", Kind.METERING),
    ("oadr/meter/+", Kind.METERING),
    ("ven/loads/+", Kind.LOADS),
    (ACK_FILTER, Kind.ACKS),
)


@dataclass(frozen=True, slots=True)
class Route:
    """All topics that match an MQTT filter carry one kind; None where only the topic's name can tell."""

    filter: str
    kind: Kind | None


class Routes:
    """The subscriptions of the bridge, and the kind of what arrives through them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    @property
    def filters(self) -> list[str]:
        """What to subscribe to, each filter once, in the order of the settings."""
        return list(dict.fromkeys(route.filter for route in self._routes))

    def kind_of(self, topic: str) -> Kind:
        """Tell what a topic carries: the first route with a kind wins, then the known patterns, then OTHER."""
        for route in self._routes:
            if route.kind is not None and topic_matches_sub(_unshared(route.filter), topic):
                return route.kind
        for pattern, kind in KNOWN_PATTERNS:
            if topic_matches_sub(pattern, topic):
                return kind
        return Kind.OTHER


def _unshared(topic_filter: str) -> str:
    """The filter inside a shared subscription, $share/<group>/<filter>."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter


def ven_id_in_topic(kind: Kind, topic: str) -> str | None:
    """Return the VEN id where the topic of this kind holds one: the thing name of a shadow, else the last level."""
    levels = topic.split("/")
    if kind is Kind.SHADOW:
        candidate = levels[2] if len(levels) > 2 else ""  # noqa: PLR2004 - $aws/things/<thing>/shadow/…
    elif kind is Kind.ACKS or any(topic_matches_sub(pattern, topic) for pattern, _ in KNOWN_PATTERNS):
        candidate = levels[-1]
    else:
        return None
    try:
        return check_ven_id(candidate)
    except RejectedError:
        return None
