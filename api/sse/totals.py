"""The live totals in the feed, as soon as they are read from Kafka."""

from contextlib import suppress

from api.http.problems import UnavailableError
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry
from api.views.stats import network_stats_view


class TotalsPoller:
    """Publishes each version of the totals once."""

    def __init__(self, broadcaster: Broadcaster, totals: LiveTotals, energy: EnergyToday) -> None:
        self._broadcaster = broadcaster
        self._totals = totals
        self._energy = energy
        self._published: object = None

    async def poll(self) -> None:
        """Publish new totals."""
        if self._totals.latest is self._published:
            return
        with suppress(UnavailableError):  # the VENs have not been counted yet
            stats = network_stats_view(self._totals, self._energy)
            self._published = self._totals.latest
            body = stats.model_dump_json(by_alias=True, exclude_none=True).encode()
            self._broadcaster.publish("totals", [FeedEntry(body)], latest_of="totals")
