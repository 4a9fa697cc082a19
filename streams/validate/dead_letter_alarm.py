"""The alarm for a high dead-letter rate: logged when it begins and ends, shown in health and metrics meanwhile."""

import logging
import time
from collections.abc import Callable
from typing import Any

from schemas.settings.blocks import StreamsSettings
from streams.validate.dead_letter_rate import DeadLetterRate

logger = logging.getLogger(__name__)

CHECK_SECONDS = 1.0


class DeadLetterAlarm:
    """Watches the dead-letter rate of one worker. It stops nothing: operators decide what to do."""

    name = "dead_letter_rate_high"

    def __init__(self, streams: StreamsSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = DeadLetterRate(streams.dead_letter_alarm_share, streams.dead_letter_alarm_minimum)
        self._clock = clock
        self._on = False

    def count(self, *, records: int, dead_letters: int) -> None:
        """Count the records of a batch, and how many of them became dead letters."""
        self._rate.count(self._clock(), records, dead_letters)
        self.check()

    def share(self) -> float:
        """Return the share of the last minute's records that became dead letters, 0 to 1."""
        return self._rate.share(self._clock())

    def check(self) -> bool:
        """Return whether the alarm is on; log a change."""
        now = self._clock()
        was_on, self._on = self._on, self._rate.is_high(now)
        if self._on and not was_on:
            logger.warning(
                "%.0f %% of the last minute's records became dead letters; `gateway deadletters list` shows them",
                100 * self._rate.share(now),
                extra={"action": "dead_letter_rate_high"},
            )
        elif was_on and not self._on:
            logger.info("the dead-letter rate is back to normal", extra={"action": "dead_letter_rate_normal"})
        return self._on

    def schedule(self, app: Any) -> None:
        """Check every second, so that the alarm also ends when no more records arrive."""

        @app.timer(CHECK_SECONDS)  # type: ignore[untyped-decorator]
        async def check_dead_letter_rate() -> None:
            self.check()
