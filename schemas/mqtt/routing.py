"""Which kind of message an MQTT topic carries, and which VEN it speaks of."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.base.rejection import RejectedError
from schemas.mqtt.filters import covers, matches, uncovered, unshared, width
from schemas.parsing.common import check_ven_id


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
COMMAND_TOPIC = "ven/cmd/"
"""The topic of a VEN's commands, before its id."""

# What a topic carries when its name has one of these forms and no setting speaks of it.
KNOWN_PATTERNS = (
    ("ven/telemetry/+", Kind.METERING),
    ("oadr/meter/+", Kind.METERING),
    ("ven/loads/+", Kind.LOADS),
    (ACK_FILTER, Kind.ACKS),
)


@dataclass(frozen=True, slots=True)
class Route:
    """All topics that match an MQTT filter carry one kind; None where only the topic's name can tell.

    `settings` numbers the settings that an installation has had: where several match a topic, the newest count.
    """

    filter: str
    kind: Kind | None
    settings: int = 0


class Routes:
    """The subscriptions of the bridge, and the kind of what arrives through them.

    `former` are routes of earlier settings: a broker may still have messages that it accepted for them.
    """

    def __init__(self, routes: Iterable[Route], former: Iterable[Route] = ()) -> None:
        self._routes = tuple(routes)
        self._claims = sorted(map(_Claim.of, self._routes))
        self._former = sorted(map(_Claim.of, former), key=lambda claim: (-claim.settings, claim))

    def after(self, former: Iterable[Route]) -> "Routes":
        """The same, with routes of earlier settings."""
        return Routes(self._routes, former)

    @property
    def kinds(self) -> dict[str, Kind | None]:
        """Every filter of the settings with its kind, in the order of the settings."""
        given = {claim.filter: claim.given for claim in reversed(self._claims)}
        return {route.filter: given[route.filter] for route in self._routes}

    @property
    def filters(self) -> list[str]:
        """What to subscribe to: brokers deliver a message once for each filter, so none that another one covers."""
        return uncovered(route.filter for route in self._routes)

    def kind_of(self, topic: str) -> Kind:
        """Tell what a topic carries: the narrowest filter says it, be it of a setting or a known pattern.

        Of two that are equally narrow a setting wins. Earlier settings speak only where no filter of today matches.
        """
        chosen = _first(self._claims, topic) or _first(self._former, topic)
        known = _first(_KNOWN_CLAIMS, topic)
        claims = [claim for claim in (chosen, known) if claim is not None]
        return min(claims).kind if claims else Kind.OTHER


_KINDS = list(Kind)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a filter says of the topics that it matches; the smallest is believed."""

    filter: str
    kind: Kind
    given: Kind | None
    settings: int = 0
    known: bool = False

    @classmethod
    def of(cls, route: Route) -> "_Claim":
        return cls(route.filter, route.kind or _by_name(route.filter), route.kind, route.settings)

    def __lt__(self, other: "_Claim") -> bool:
        return self._key < other._key

    @property
    def _key(self) -> tuple[tuple[int, ...], int, int]:
        """Width first. Then settings that give a kind, known patterns, other settings, so that all orders agree."""
        rank = 1 if self.known else 0 if self.given else 2
        return width(self.filter), rank, _KINDS.index(self.kind)


_KNOWN_CLAIMS = sorted(_Claim(pattern, kind, kind, known=True) for pattern, kind in KNOWN_PATTERNS)


def _by_name(topic_filter: str) -> Kind:
    """What an extra topic carries: it may name one topic of a known pattern."""
    return next((kind for pattern, kind in KNOWN_PATTERNS if covers(pattern, unshared(topic_filter))), Kind.OTHER)


def _first(claims: Iterable[_Claim], topic: str) -> _Claim | None:
    return next((claim for claim in claims if matches(claim.filter, topic)), None)


_THINGS = ["$aws", "things"]
# An id that stands in a topic of these forms is the VEN's; that of `oadr/meter/+` may be a meter's.
_OF_A_VEN = tuple(pattern for pattern, _ in KNOWN_PATTERNS if pattern.startswith("ven/"))


def ven_id_in_topic(kind: Kind, topic: str) -> str | None:
    """Return the VEN id where the topic of this kind holds one: the thing name of a shadow, else the last level."""
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


def _thing(levels: list[str]) -> str:
    """Of $aws/things/<thing>/shadow/…; under other names it stands before the level `shadow`, or after it."""
    if levels[:2] == _THINGS:
        return levels[2] if len(levels) > 2 else ""  # noqa: PLR2004 - the third level
    at = levels.index("shadow") if "shadow" in levels else len(levels)
    return levels[at - 1] if at else levels[1] if len(levels) > 1 else ""
