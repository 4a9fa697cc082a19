"""Messages of the live feed. Each is encoded once for all clients, and once for each filter that matches a part."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import msgspec

from api.sse.message_ids import MessageId

FeedType = Literal["totals", "event", "commands", "vens", "deadLetters"]
TYPES: tuple[FeedType, ...] = get_args(FeedType)

# Messages of these types contain a list of entries, under this name; the others contain one object.
_LISTS: dict[FeedType, str] = {"commands": "commands", "vens": "vens", "deadLetters": "deadLetters"}


class FeedEntry(NamedTuple):
    """One change as JSON, with the ids that filters match."""

    body: bytes
    ven_id: str | None = None
    event_id: str | None = None


class FeedFilter(NamedTuple):
    """What a client follows: message types, and optionally one VEN or one event."""

    types: frozenset[FeedType] = frozenset(TYPES)
    ven_id: str | None = None
    event_id: str | None = None


class FeedMessage:
    """One server-sent event. A newer message with the same `latest_of` replaces it for clients that reconnect."""

    def __init__(
        self, message_id: MessageId, kind: FeedType, entries: Sequence[FeedEntry], latest_of: str | None = None
    ) -> None:
        self.id = message_id
        self.kind = kind
        self.latest_of = latest_of
        self.whole = self._encode(entries)
        self._entries = entries
        # An index of the entries by VEN and event, and encoded parts by filter. A part is cached only if it is not
        # empty: clients may use thousands of filters.
        self._index: dict[tuple[str, str | None], list[FeedEntry]] | None = None
        self._parts: dict[tuple[str | None, str | None], bytes] = {}

    def part_for(self, filters: FeedFilter) -> bytes | None:
        """Return the encoded part that matches, or None if nothing does."""
        if self.kind not in filters.types:
            return None
        key = (filters.ven_id, filters.event_id)
        if key == (None, None):
            return self.whole
        if key not in self._parts:
            entries = self._matching(*key)
            if not entries:
                return None
            self._parts[key] = self._encode(entries)
        return self._parts[key]

    def _matching(self, ven_id: str | None, event_id: str | None) -> list[FeedEntry]:
        if self._index is None:
            self._index = {}
            for entry in self._entries:
                for key in (("ven", entry.ven_id), ("event", entry.event_id)):
                    self._index.setdefault(key, []).append(entry)
        if ven_id is None:
            return self._index.get(("event", event_id), [])
        of_ven = self._index.get(("ven", ven_id), [])
        return of_ven if event_id is None else [entry for entry in of_ven if entry.event_id == event_id]

    def _encode(self, entries: Sequence[FeedEntry]) -> bytes:
        data = b",".join(entry.body for entry in entries)
        if self.kind in _LISTS:
            data = b'{"%b":[%b]}' % (_LISTS[self.kind].encode(), data)
        return encode(self.kind, data, self.id)


def encode(kind: str, data: bytes, message_id: MessageId | None = None) -> bytes:
    """Encode one server-sent event; `data` is JSON, which contains no line breaks."""
    id_line = b"" if message_id is None else b"id: %b\n" % str(message_id).encode()
    return b"%bevent: %b\ndata: %b\n\n" % (id_line, kind.encode(), data)


encode_json = msgspec.json.Encoder().encode
