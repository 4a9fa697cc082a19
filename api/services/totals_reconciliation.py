"""Compares the live totals with the rows in PostgreSQL, in the background."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from api.queries.stored_totals import fetch_totals
from runtime.database import DATABASE_ERRORS, Pool
from runtime.metrics import LIVE_DIFFERENCE, LIVE_DIFFERENCE_RATIO
from schemas.records.network import NetworkTotals

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
TOLERANCE = 0.02
"""The relative difference that samples cause which have reached only one of the two."""

PERSISTENT_CHECKS = 3
"""A difference is reported after this many consecutive checks."""

_SMALL_KW = 1.0

Samples = dict[tuple[str, ...], float]
"""Values of a metric by its labels."""


class TotalsReconciliation:
    """Compares live totals of time `as_of` with the rows that they should be made of."""

    def __init__(self, pool: Pool, latest: Callable[[], NetworkTotals | None], offline_after: float) -> None:
        """`latest` returns the live totals; `offline_after` is in seconds."""
        self._pool = pool
        self._latest = latest
        self._offline_after = timedelta(seconds=offline_after)
        self._failed_checks = 0
        # Live minus stored, absolute and relative to the larger one.
        self.difference: Samples = {}
        self.ratio: Samples = {}

    async def run(self) -> None:
        """Check for ever."""
        with LIVE_DIFFERENCE.reporting(lambda: self.difference), LIVE_DIFFERENCE_RATIO.reporting(lambda: self.ratio):
            while True:
                with suppress(*DATABASE_ERRORS):
                    await self.check()
                await asyncio.sleep(EVERY_SECONDS)

    async def check(self) -> None:
        """Compare once; without live totals, do nothing."""
        totals = self._latest()
        if totals is None:
            return
        live = comparable_values(totals)
        stored = comparable_values(await fetch_totals(self._pool, totals.as_of, totals.as_of - self._offline_after))
        self.difference = {(name,): live[name] - stored[name] for name in live}
        self.ratio = {(name,): _relative_difference(live[name], stored[name]) for name in live}
        different = [name for (name,), ratio in self.ratio.items() if abs(ratio) > TOLERANCE]
        was_persistent = self._failed_checks >= PERSISTENT_CHECKS
        self._failed_checks = self._failed_checks + 1 if different else 0
        if self._failed_checks == PERSISTENT_CHECKS:
            logger.warning(
                "the live totals differ from the stored rows: %s; check the consumer lag of `sink` and `live`",
                {name: f"{live[name]:.2f} live, {stored[name]:.2f} stored" for name in different},
                extra={"action": "live_totals_differ"},
            )
        elif was_persistent and not different:
            logger.info("the live totals agree with the stored rows again", extra={"action": "live_totals_agree"})


def comparable_values(totals: NetworkTotals) -> Mapping[str, float]:
    """Return the values to compare by name; those of load types are summed over all types."""
    network, types = totals.totals, totals.load_types.values()
    return {
        "onlineVens": network.online_vens,
        "householdUsageKw": network.household_usage_kw,
        "currentLoadReductionKw": network.current_load_reduction_kw,
        "controllablePowerKw": network.controllable_power_kw,
        "potentialLoadReductionKw": network.potential_load_reduction_kw,
        "loadCapacityKw": sum(each.total_capacity_kw for each in types),
        "loadUsageKw": sum(each.current_usage_kw for each in types),
    }


def _relative_difference(live: float, stored: float) -> float:
    """The difference relative to the larger value, but at least to 1 kW."""
    return (live - stored) / max(abs(live), abs(stored), _SMALL_KW)
