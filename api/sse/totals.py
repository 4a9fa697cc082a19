"""The network's totals, as soon as they are read from the log."""

from contextlib import suppress

from api.http.problems import UnavailableError
from api.routers.stats import network
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedEntry


class TotalsPoller:
    """Tells of each new total once."""

    def __init__(self, broadcaster: Broadcaster, totals: LiveTotals, energy: EnergyToday) -> None:
        self._broadcaster = broadcaster
        self._totals = totals
        self._energy = energy
        self._told: object = None

    async def poll(self) -> None:
        """Tell what is new."""
        if self._totals.latest is self._told:
            return
        with suppress(UnavailableError):  # the registry is not counted yet
            stats = await network(self._totals, self._energy)
            self._told = self._totals.latest
            body = stats.model_dump_json(by_alias=True, exclude_none=True).encode()
            self._broadcaster.publish("totals", [FeedEntry(body)], latest_of="totals")
