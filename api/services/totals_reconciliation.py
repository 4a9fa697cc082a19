"""Whether the live totals and the rows of the database agree: looked at again and again, beside all requests."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

import asyncpg

from api.http.problems import OUTAGES
from api.queries.totals import fetch_totals
from runtime.database import Pool
from runtime.metrics import LIVE_DIFFERENCE, LIVE_DIFFERENCE_RATIO
from schemas.records.network import NetworkTotals

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
TOLERANCE = 0.02
"""The part by which figures may differ while samples are on their way to the one and not yet to the other."""

PERSISTENT_CHECKS = 3
"""So many looks one after another make a difference one that lasts."""

_SMALL_KW = 1.0

Figures = dict[tuple[str, ...], float]


class TotalsReconciliation:
    """Compares at one time: the rows that the totals of `as_of` would be made of."""

    def __init__(self, pool: Pool, latest: Callable[[], NetworkTotals | None], offline_after: float) -> None:
        """Describe it; `latest` gives the live totals, `offline_after` is in seconds."""
        self._pool = pool
        self._latest = latest
        self._offline_after = timedelta(seconds=offline_after)
        self._apart = 0
        # Live minus rows, and the same as a part of the larger one.
        self.difference: Figures = {}
        self.ratio: Figures = {}

    async def follow(self) -> None:
        """Look for ever."""
        with LIVE_DIFFERENCE.reporting(lambda: self.difference), LIVE_DIFFERENCE_RATIO.reporting(lambda: self.ratio):
            while True:
                with suppress(*OUTAGES, asyncpg.PostgresError):
                    await self.check()
                await asyncio.sleep(EVERY_SECONDS)

    async def check(self) -> None:
        """Compare once; without live totals there is nothing to compare."""
        live = self._latest()
        if live is None:
            return
        rows = comparable_values(await fetch_totals(self._pool, live.as_of, live.as_of - self._offline_after))
        ours = comparable_values(live)
        self.difference = {(name,): ours[name] - rows[name] for name in ours}
        self.ratio = {(name,): _part(ours[name], rows[name]) for name in ours}
        apart = {name: part for (name,), part in self.ratio.items() if abs(part) > TOLERANCE}
        was_lasting = self._apart >= PERSISTENT_CHECKS
        self._apart = self._apart + 1 if apart else 0
        if self._apart == PERSISTENT_CHECKS:
            logger.warning(
                "the live totals differ from the rows of the database: %s; look whether `sink` or `live` is behind",
                {name: f"{ours[name]:.2f} live, {rows[name]:.2f} in rows" for name in apart},
                extra={"action": "live_totals_differ"},
            )
        elif was_lasting and not apart:
            logger.info("the live totals are those of the rows again", extra={"action": "live_totals_agree"})


def comparable_values(totals: NetworkTotals) -> Mapping[str, float]:
    """The figures that are compared, by name; those of the types of load as sums over all types."""
    of, types = totals.totals, totals.load_types.values()
    return {
        "onlineVens": of.online_vens,
        "householdUsageKw": of.household_usage_kw,
        "currentLoadReductionKw": of.current_load_reduction_kw,
        "controllablePowerKw": of.controllable_power_kw,
        "potentialLoadReductionKw": of.potential_load_reduction_kw,
        "loadCapacityKw": sum(one.total_capacity_kw for one in types),
        "loadUsageKw": sum(one.current_usage_kw for one in types),
    }


def _part(live: float, rows: float) -> float:
    """The difference as a part of the larger one; of next to nothing it is none."""
    return (live - rows) / max(abs(live), abs(rows), _SMALL_KW)
