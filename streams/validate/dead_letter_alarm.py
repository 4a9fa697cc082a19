"""The alarm of a flood of dead letters: told once when it begins and once when it is over, and shown until then."""

import logging
import time
from collections.abc import Callable
from typing import Any

from schemas.settings.blocks import StreamsSettings
from streams.validate.dead_letter_rate import Flood

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class FloodAlarm:
    """Watches what one worker sets apart. Processing goes on: bad input stops nothing, but somebody has to know."""

    name = "dead_letter_flood"

    def __init__(self, streams: StreamsSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._flood = Flood(streams.dead_letter_alarm_share, streams.dead_letter_alarm_minimum)
        self._clock = clock
        self._on = False

    def count(self, *, records: int, dead_letters: int) -> None:
        """Take in a batch: how many records it had, and how many of them became dead letters."""
        self._flood.count(self._clock(), records, dead_letters)
        self.look()

    def share(self) -> float:
        """Return the share of the last minute's records that became dead letters, 0 to 1."""
        return self._flood.share(self._clock())

    def look(self) -> bool:
        """Say whether the alarm is on now, and log it when that has changed."""
        now = self._clock()
        was, self._on = self._on, self._flood.alarm(now)
        if self._on and not was:
            logger.warning(
                "%.0f %% of the records of the last minute became dead letters; see which and why with "
                "`gateway deadletters list`",
                100 * self._flood.share(now),
                extra={"action": "dead_letter_flood"},
            )
        elif was and not self._on:
            logger.info("the flood of dead letters is over", extra={"action": "dead_letter_flood_over"})
        return self._on

    def watch(self, app: Any) -> None:
        """Look every second, so that it is also over when nothing comes any more."""

        @app.timer(LOOK_SECONDS)  # type: ignore[untyped-decorator]
        async def look() -> None:
            self.look()
