"""Which kind of message an MQTT topic carries."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.mqtt.filters import covers, matches, uncovered, unshared, width


class Kind(StrEnum):
    """The kinds of uplink messages; each has a raw Kafka topic."""

    METERING = "metering"
    LOADS = "loads"
    STATUS = "status"
    ACKS = "acks"
    SHADOW = "shadow"
    EVENTS = "events"
    RESPONSES = "responses"
    OTHER = "other"


ACK_FILTER = "ven/ack/+"
COMMAND_TOPIC = "ven/cmd/"
"""The topic of a VEN's commands, before its id."""

# The kind of topics that match one of these filters, unless a setting says otherwise.
KNOWN_PATTERNS = (
    ("ven/telemetry/+", Kind.METERING),
    ("oadr/meter/+", Kind.METERING),
    ("ven/loads/+", Kind.LOADS),
    (ACK_FILTER, Kind.ACKS),
)


@dataclass(frozen=True, slots=True)
class Route:
    """The kind of all topics that match an MQTT filter; None if it follows from the topic's name.

    `settings` is the number of the settings that contained the route. If several former routes match a topic, the
    newest settings decide.
    """

    filter: str
    kind: Kind | None
    settings: int = 0


class Routes:
    """The subscriptions of the bridge, and the kinds of the messages that match them.

    `former` are routes of earlier settings; the broker may still have messages for them.
    """

    def __init__(self, routes: Iterable[Route], former: Iterable[Route] = ()) -> None:
        self._routes = tuple(routes)
        self._rules = sorted(map(_Rule.of, self._routes))
        self._former = sorted(map(_Rule.of, former), key=lambda claim: (-claim.settings, claim))

    def after(self, former: Iterable[Route]) -> "Routes":
        """Return these routes with the routes of earlier settings."""
        return Routes(self._routes, former)

    @property
    def kinds(self) -> dict[str, Kind | None]:
        """The filters of the settings with their kinds, in order."""
        given = {claim.filter: claim.given for claim in reversed(self._rules)}
        return {route.filter: given[route.filter] for route in self._routes}

    @property
    def filters(self) -> list[str]:
        """The filters to subscribe to, without covered ones: brokers deliver a message once for each filter."""
        return uncovered(route.filter for route in self._routes)

    def kind_of(self, topic: str) -> Kind:
        """Return the kind of a topic: the most specific filter decides, from a setting or a known pattern.

        Between equally specific filters, a setting wins. Earlier settings only decide if no present filter matches.
        """
        chosen = _first(self._rules, topic) or _first(self._former, topic)
        known = _first(_KNOWN_RULES, topic)
        claims = [claim for claim in (chosen, known) if claim is not None]
        return min(claims).kind if claims else Kind.OTHER


_KINDS = list(Kind)


@dataclass(frozen=True, slots=True)
class _Rule:
    """The kind that a filter assigns to its topics; the smallest rule wins."""

    filter: str
    kind: Kind
    given: Kind | None
    settings: int = 0
    known: bool = False

    @classmethod
    def of(cls, route: Route) -> "_Rule":
        return cls(route.filter, route.kind or _by_name(route.filter), route.kind, route.settings)

    def __lt__(self, other: "_Rule") -> bool:
        return self._key < other._key

    @property
    def _key(self) -> tuple[tuple[int, ...], int, int]:
        """Specificity, then settings with a kind, known patterns, other settings; the rest makes the order total."""
        rank = 1 if self.known else 0 if self.given else 2
        return width(self.filter), rank, _KINDS.index(self.kind)


_KNOWN_RULES = sorted(_Rule(pattern, kind, kind, known=True) for pattern, kind in KNOWN_PATTERNS)


def _by_name(topic_filter: str) -> Kind:
    """Return the kind of an extra topic, which may match a known pattern."""
    return next((kind for pattern, kind in KNOWN_PATTERNS if covers(pattern, unshared(topic_filter))), Kind.OTHER)


def _first(claims: Iterable[_Rule], topic: str) -> _Rule | None:
    return next((claim for claim in claims if matches(claim.filter, topic)), None)
