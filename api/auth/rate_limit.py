"""Rate limits: one token bucket for each client."""

import time
from collections.abc import Callable

_CLEANUP_SECONDS = 1.0
_ROUNDING_SECONDS = 1e-6


class RateLimiter:
    """Allows `burst` requests at once and `per_second` on average (GCRA).

    A bucket is stored as one number: the time at which it will be full again.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second` 0 is no limit."""
        self._cost = 1 / per_second if per_second else 0.0
        self._depth = burst * self._cost
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._cleaned_at = clock()

    def retry_after_seconds(self, client: str) -> float:
        """Return the seconds until the client may make a request; 0 is now."""
        if not self._cost:
            return 0.0
        now = self._clock()
        wait = max(self._full_at.get(client, now), now) + self._cost - now - self._depth
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def acquire(self, client: str) -> float:
        """Count a request and return 0, or return the seconds to wait and count nothing."""
        wait = self.retry_after_seconds(client)
        if wait or not self._cost:
            return wait
        now = self._clock()
        self._full_at[client] = max(self._full_at.get(client, now), now) + self._cost
        if now - self._cleaned_at > _CLEANUP_SECONDS:
            self._cleaned_at = now
            # A full bucket needs no entry.
            self._full_at = {name: full for name, full in self._full_at.items() if full > now}
        return 0.0
