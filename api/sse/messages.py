"""One item of the feed: encoded once for all who get the whole, and once for each filter that takes a part of it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import msgspec

from api.sse.message_ids import MessageId

FeedType = Literal["totals", "event", "commands", "vens", "deadLetters"]
TYPES: tuple[FeedType, ...] = get_args(FeedType)

# Those whose entries travel together, under the name of the list. The others are one object an item.
_LISTS: dict[FeedType, str] = {"commands": "commands", "vens": "vens", "deadLetters": "deadLetters"}


class FeedEntry(NamedTuple):
    """One thing that changed, as JSON, and what filters look at."""

    body: bytes
    ven_id: str | None = None
    event_id: str | None = None


class FeedFilter(NamedTuple):
    """What a client asks for: only what is about this VEN, and about this event, where one is named."""

    types: frozenset[FeedType] = frozenset(TYPES)
    ven_id: str | None = None
    event_id: str | None = None


class FeedMessage:
    """What is sent; `latest_of` names what a newer item of the same name makes needless to anybody who comes back."""

    def __init__(
        self, item_id: MessageId, kind: FeedType, entries: Sequence[FeedEntry], latest_of: str | None = None
    ) -> None:
        self.id = item_id
        self.kind = kind
        self.latest_of = latest_of
        self.whole = self._encode(entries)
        self._entries = entries
        # Found by what it is about, and kept only where there is something: clients may have thousands of filters.
        self._about: dict[tuple[str, str | None], list[FeedEntry]] | None = None
        self._parts: dict[tuple[str | None, str | None], bytes] = {}

    def for_(self, wanted: FeedFilter) -> bytes | None:
        """Return what a client gets of it; None where nothing of it is wanted."""
        if self.kind not in wanted.types:
            return None
        about = (wanted.ven_id, wanted.event_id)
        if about == (None, None):
            return self.whole
        if about not in self._parts:
            mine = self._entries_about(*about)
            if not mine:
                return None
            self._parts[about] = self._encode(mine)
        return self._parts[about]

    def _entries_about(self, ven_id: str | None, event_id: str | None) -> list[FeedEntry]:
        if self._about is None:
            self._about = {}
            for entry in self._entries:
                for key in (("ven", entry.ven_id), ("event", entry.event_id)):
                    self._about.setdefault(key, []).append(entry)
        if ven_id is None:
            return self._about.get(("event", event_id), [])
        mine = self._about.get(("ven", ven_id), [])
        return mine if event_id is None else [entry for entry in mine if entry.event_id == event_id]

    def _encode(self, entries: Sequence[FeedEntry]) -> bytes:
        data = b",".join(entry.body for entry in entries)
        if self.kind in _LISTS:
            data = b'{"%b":[%b]}' % (_LISTS[self.kind].encode(), data)
        return encode(self.kind, data, self.id)


def encode(kind: str, data: bytes, item_id: MessageId | None = None) -> bytes:
    """Write one event of the stream; JSON has no line ends of its own."""
    name = b"" if item_id is None else b"id: %b\n" % str(item_id).encode()
    return b"%bevent: %b\ndata: %b\n\n" % (name, kind.encode(), data)


encode_json = msgspec.json.Encoder().encode
