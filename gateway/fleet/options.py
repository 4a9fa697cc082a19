"""What a simulated fleet is like, and how it reaches its broker."""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.fleet.behaviours import BehaviourShares, checked


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """A fleet of `vens` homes grown from `seed`, their ids `{prefix}-00000` and on.

    Each home sends a metering sample every `interval` seconds and, unless `loads_enabled` is off or
    `loads_topic` is None, a load snapshot every `loads_interval` seconds; `{ven_id}` in a topic is the home's id.
    The homes share `connections` MQTT connections, whose client ids follow from `prefix`.

    With `rate` (messages a second in all) the clock is set aside for load tests: homes take their turns as fast
    as that, and sample times go forward from `start` by `interval` all the same, so no (VEN, time) comes twice.
    Without `start` the last of a known number of samples is of about now; else they begin a day ago.

    Unless `obey` is off, or there is a `rate`, the homes take commands on `ven/cmd/{ven_id}`, each after its manner:
    `behaviours` are the shares of those that misbehave. Slow ones take `slow_seconds`, forgetful ones have a power cut
    `power_cut_seconds` after they were told of an event.
    """

    host: str
    port: int
    vens: int = 200
    interval: float = 5.0
    seed: int = 1
    prefix: str = "ven-sim"
    metering_topic: str = "volttron/metering"
    loads_topic: str | None = "ven/loads/{ven_id}"
    loads_interval: float = 30.0
    loads_enabled: bool = True
    connections: int = 4
    username: str | None = None
    password: str | None = None
    rate: float | None = None
    start: datetime | None = None
    obey: bool = True
    behaviours: BehaviourShares = field(default_factory=dict)
    slow_seconds: float = 6.0
    power_cut_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.vens < 1 or self.connections < 1:
            raise ValueError("a fleet needs at least one VEN and one connection")
        if self.interval_ms < 1 or self.loads_interval_ms < 1:
            raise ValueError("intervals are at least a millisecond: sample times are told apart by it")
        if self.rate is not None and self.rate <= 0:
            raise ValueError("a rate is above 0 messages a second; leave it out to follow the clock")
        checked(self.behaviours)

    @property
    def interval_ms(self) -> int:
        return round(self.interval * 1000)

    @property
    def loads_interval_ms(self) -> int:
        return round(self.loads_interval * 1000)

    @property
    def snapshot_topic(self) -> str | None:
        """The topic of load snapshots, None when the fleet sends none."""
        return self.loads_topic if self.loads_enabled else None

    @property
    def listens(self) -> bool:
        """Whether the homes hear commands: not in load tests, where it would cost something."""
        return self.obey and self.rate is None

    def ven_id(self, index: int) -> str:
        return f"{self.prefix}-{index:05d}"
