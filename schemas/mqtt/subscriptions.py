"""What a client id has subscribed to at the MQTT broker, as it is kept in the log from one run to the next.

The broker keeps subscriptions in the session of an absent client, and MQTT has no way to ask for them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from schemas.mqtt.filters import check_filter
from schemas.mqtt.routing import Kind, Route, Routes

MOST_FORMER = 100
"""How many filters of earlier settings are remembered after they were unsubscribed: those that went last."""


class Subscription(msgspec.Struct, frozen=True):
    """One filter that is, or was, in the settings; `settings` is the number of the last ones that had it.

    `subscribed` is set before the broker is asked for it, and taken back after the broker has confirmed its end.
    """

    filter: str
    kind: str | None
    settings: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    subscribed: bool

    @property
    def route(self) -> Route:
        """The route that it was."""
        return Route(self.filter, None if self.kind is None else _kind(self.kind), self.settings)


class _Document(msgspec.Struct):
    filters: list[Any]


@dataclass(frozen=True, slots=True)
class SubscriptionList:
    """The filters of the settings of today first, then those of earlier ones."""

    filters: tuple[Subscription, ...] = ()

    @classmethod
    def decode(cls, value: bytes) -> "SubscriptionList":
        """Read it from the log; single entries that are wrong are left out.

        Raises:
            ValueError: it is no such list.
            RecursionError: nor could it be one.
        """
        return cls(tuple(entry for each in _decode(value).filters if (entry := _entry(each)) is not None))

    def encode(self) -> bytes:
        """Write it for the log."""
        return msgspec.json.encode(_Document(list(self.filters)))

    def under(self, routes: Routes) -> "SubscriptionList":
        """Take over the settings of today; what they no longer have is kept as former."""
        kinds = routes.kinds
        known = {entry.filter: entry for entry in self.filters}
        number = self._settings
        if kinds != {entry.filter: entry.route.kind for entry in self.filters if entry.settings == number}:
            number += 1
        today = [
            Subscription(name, kind, number, subscribed=name in known and known[name].subscribed)
            for name, kind in kinds.items()
        ]
        return replace(self, filters=(*today, *(entry for entry in self.filters if entry.filter not in kinds)))

    def subscribing(self, names: Iterable[str]) -> "SubscriptionList":
        """Note what the broker is about to be asked for."""
        return self._marked(set(names), subscribed=True)

    def unsubscribed(self, names: Iterable[str]) -> "SubscriptionList":
        """Note what the broker has confirmed to be over, and forget what was over long ago."""
        marked = self._marked(set(names), subscribed=False)
        over = sorted((each for each in marked.former if not each.subscribed), key=lambda each: -each.settings)
        forgotten = {each.filter for each in over[MOST_FORMER:]}
        return replace(marked, filters=tuple(each for each in marked.filters if each.filter not in forgotten))

    @property
    def former(self) -> list[Subscription]:
        """What today's settings no longer have."""
        return [entry for entry in self.filters if entry.settings != self._settings]

    @property
    def _settings(self) -> int:
        return max((entry.settings for entry in self.filters), default=0)

    def _marked(self, names: set[str], *, subscribed: bool) -> "SubscriptionList":
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
        # Neither would the broker understand it.
        return None
    return entry


def _kind(name: str) -> Kind:
    """A later version may know kinds that this one does not."""
    return Kind(name) if name in set(Kind) else Kind.OTHER
