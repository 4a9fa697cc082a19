"""How often one client may ask: a bucket of `burst` requests that fills by `per_second`."""

import time
from collections.abc import Callable

_TIDY_SECONDS = 1.0
_ROUNDING_SECONDS = 1e-6


class RateLimiter:
    """The bucket is kept as one number, the time at which it will be full again (GCRA)."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second` 0 is without a limit."""
        self._cost = 1 / per_second if per_second else 0.0
        self._depth = burst * self._cost
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._tidied = clock()

    def retry_after_seconds(self, who: str) -> float:
        """Return after how many seconds the bucket holds a request; 0 where it does now."""
        if not self._cost:
            return 0.0
        now = self._clock()
        wait = max(self._full_at.get(who, now), now) + self._cost - now - self._depth
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def acquire(self, who: str) -> float:
        """Take a request out; returns what `retry_after_seconds` does, and takes nothing where that is not 0."""
        wait = self.retry_after_seconds(who)
        if wait or not self._cost:
            return wait
        now = self._clock()
        self._full_at[who] = max(self._full_at.get(who, now), now) + self._cost
        if now - self._tidied > _TIDY_SECONDS:
            self._tidied = now
            # A full bucket is as good as none.
            self._full_at = {name: full for name, full in self._full_at.items() if full > now}
        return 0.0
