"""Natural keys of recently stored rows: some devices publish each sample on two topics."""

from collections.abc import Iterable
from itertools import islice

Key = tuple[str, object]


class RecentKeys:
    """The last keys that this process stored, up to `max_keys`.

    It saves work only: the primary keys of the tables decide what is a duplicate.
    """

    def __init__(self, max_keys: int = 50_000) -> None:
        self._max_keys = max_keys
        self._keys: dict[Key, None] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Key]) -> None:
        """Add keys and drop the oldest ones beyond `max_keys`."""
        self._keys.update(dict.fromkeys(keys))
        excess = len(self._keys) - self._max_keys
        for key in list(islice(self._keys, max(excess, 0))):
            del self._keys[key]
