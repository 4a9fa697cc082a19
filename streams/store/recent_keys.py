"""Keys that were stored a moment ago: some devices publish each sample on two topics."""

from collections.abc import Iterable
from itertools import islice

Key = tuple[str, object]


class RecentKeys:
    """The last keys stored by this process, bounded; only a shortcut, for the primary keys have the last word."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._keys: dict[Key, None] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Key]) -> None:
        """Remember keys, and forget the oldest beyond the bound."""
        self._keys.update(dict.fromkeys(keys))
        excess = len(self._keys) - self._most
        for key in list(islice(self._keys, max(excess, 0))):
            del self._keys[key]
