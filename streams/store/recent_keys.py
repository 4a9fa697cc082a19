"""Natural keys of recently stored rows: some devices publish each sample on two topics."""

from collections.abc import Hashable, Mapping
from itertools import islice


class RecentKeys(dict[Hashable, int | None]):
    """The last keys that this process stored, up to `max_keys`, with the digests of their records.

    It saves work only: the primary keys of the tables decide what is a duplicate.
    """

    def __init__(self, max_keys: int = 50_000) -> None:
        super().__init__()
        self._max_keys = max_keys

    def add(self, digests: Mapping[Hashable, int | None]) -> None:
        """Add keys and drop the oldest ones beyond `max_keys`."""
        self.update(digests)
        excess = len(self) - self._max_keys
        for key in list(islice(self, max(excess, 0))):
            del self[key]
