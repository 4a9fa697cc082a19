"""The options of a simulated fleet."""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.fleet.behaviours import BehaviourShares, check_shares

SECOND_MS = 1000


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """A fleet of `vens` homes derived from `seed`, with the ids `{prefix}-00000` and so on.

    Each home publishes a metering sample every `interval` seconds. It also publishes a load snapshot every
    `loads_interval` seconds, unless `loads_enabled` is off or `loads_topic` is None. `{ven_id}` in a topic stands for
    the home's id. The homes share `connections` MQTT connections, whose client ids begin with `prefix`.

    `rate` (messages per second in all) is for load tests: the fleet publishes at that rate instead of by the clock.
    Without an end and a `start`, samples are measured when they are sent. Else their times advance by `interval`, and
    begin at `start`; without it, the last of a known number of samples is about now.

    With `commands`, and without a `rate`, homes receive commands on `ven/cmd/{ven_id}`. `behaviours` are the shares of
    homes that misbehave. Slow homes answer after `slow_seconds`. Homes that forget have a power cut
    `power_cut_seconds` after an event command.
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
    commands: bool = True
    behaviours: BehaviourShares = field(default_factory=dict)
    slow_seconds: float = 6.0
    power_cut_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.vens < 1 or self.connections < 1:
            raise ValueError("a fleet needs at least one VEN and one connection")
        if self.interval_ms < 1 or self.loads_interval_ms < 1:
            raise ValueError("intervals must be at least a millisecond, so that sample times differ")
        if self.rate is not None and self.rate <= 0:
            raise ValueError("the rate must be above 0 messages per second; leave it out to publish by the clock")
        check_shares(self.behaviours)

    @property
    def interval_ms(self) -> int:
        return round(self.interval * SECOND_MS)

    @property
    def loads_interval_ms(self) -> int:
        return round(self.loads_interval * SECOND_MS)

    @property
    def whole_seconds(self) -> bool:
        """Whether sample times are whole seconds, as devices send them; not if a home sends more than one a second."""
        return min(self.interval_ms, self.loads_interval_ms) >= SECOND_MS

    @property
    def snapshot_topic(self) -> str | None:
        """The topic of load snapshots; None when the fleet publishes none."""
        return self.loads_topic if self.loads_enabled else None

    @property
    def receives_commands(self) -> bool:
        """Whether the homes receive commands; not in load tests, where it would cost time."""
        return self.commands and self.rate is None

    def ven_id(self, index: int) -> str:
        return f"{self.prefix}-{index:05d}"
