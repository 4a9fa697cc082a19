"""The subscriptions of a client id at the MQTT broker, as stored in Kafka between runs.

The broker keeps the subscriptions of an absent client in its session, and MQTT cannot list them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from schemas.mqtt.filters import check_filter
from schemas.mqtt.routing import Kind, Route, Routes

MAX_FORMER = 100
"""How many unsubscribed filters of earlier settings are kept: the newest ones."""


class Subscription(msgspec.Struct, frozen=True):
    """A filter of present or earlier settings; `settings` is the number of the last settings that contained it.

    `subscribed` becomes true before the bridge sends SUBSCRIBE, and false after the broker confirmed UNSUBSCRIBE.
    """

    filter: str
    kind: str | None
    settings: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    subscribed: bool

    @property
    def route(self) -> Route:
        """The route of this filter."""
        return Route(self.filter, None if self.kind is None else _kind(self.kind), self.settings)


class _Document(msgspec.Struct):
    filters: list[Any]


@dataclass(frozen=True, slots=True)
class SubscriptionList:
    """The filters of the present settings first, then those of earlier settings."""

    filters: tuple[Subscription, ...] = ()

    @classmethod
    def decode(cls, value: bytes) -> "SubscriptionList":
        """Decode the list; malformed entries are left out.

        Raises:
            ValueError: the value is not such a list.
            RecursionError: the value is nested too deep.
        """
        return cls(tuple(entry for each in _decode(value).filters if (entry := _entry(each)) is not None))

    def encode(self) -> bytes:
        """Encode the list for Kafka."""
        return msgspec.json.encode(_Document(list(self.filters)))

    def with_settings(self, routes: Routes) -> "SubscriptionList":
        """Return the list for the present settings; filters that they no longer contain become former ones."""
        kinds = routes.kinds
        known = {entry.filter: entry for entry in self.filters}
        number = self._settings
        if kinds != {entry.filter: entry.route.kind for entry in self.filters if entry.settings == number}:
            number += 1
        present = [
            Subscription(name, kind, number, subscribed=name in known and known[name].subscribed)
            for name, kind in kinds.items()
        ]
        return replace(self, filters=(*present, *(entry for entry in self.filters if entry.filter not in kinds)))

    def subscribed(self, names: Iterable[str]) -> "SubscriptionList":
        """Mark filters as subscribed; call it before SUBSCRIBE."""
        return self._mark(set(names), subscribed=True)

    def unsubscribed(self, names: Iterable[str]) -> "SubscriptionList":
        """Mark filters as unsubscribed, after the broker's confirmation, and drop the oldest unsubscribed ones."""
        marked = self._mark(set(names), subscribed=False)
        ended = sorted((each for each in marked.former if not each.subscribed), key=lambda each: -each.settings)
        dropped = {each.filter for each in ended[MAX_FORMER:]}
        return replace(marked, filters=tuple(each for each in marked.filters if each.filter not in dropped))

    @property
    def former(self) -> list[Subscription]:
        """The filters that the present settings do not contain."""
        return [entry for entry in self.filters if entry.settings != self._settings]

    @property
    def _settings(self) -> int:
        return max((entry.settings for entry in self.filters), default=0)

    def _mark(self, names: set[str], *, subscribed: bool) -> "SubscriptionList":
        entries = (
            msgspec.structs.replace(each, subscribed=subscribed) if each.filter in names else each
            for each in self.filters
        )
        return replace(self, filters=tuple(entries))


_decode = msgspec.json.Decoder(_Document).decode


def _entry(value: Any) -> Subscription | None:
    try:
        entry = msgspec.convert(value, Subscription)
        check_filter(entry.filter)
    except ValueError:
        # The broker would reject it too.
        return None
    return entry


def _kind(name: str) -> Kind:
    """Return the kind of a name; a later version may have kinds that this one does not know."""
    return Kind(name) if name in set(Kind) else Kind.OTHER
