"""What one VEN did in one minute: the records of ven.telemetry.1m."""

import msgspec

from schemas.records.telemetry import AwareDatetime, VenId


class Power(msgspec.Struct, frozen=True, rename="camel"):
    """Of the samples of a minute that have this power; kW, and `energy_kwh` for the whole minute at their mean."""

    samples: int
    mean_kw: float
    min_kw: float
    max_kw: float
    energy_kwh: float


class Minute(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A minute that is over, identified by (ven_id, minute); of several the highest `version` counts.

    `minute` is its beginning, UTC. `used` and `shed` are None where no sample had any, `event_id` and
    `requested_reduction_kw` are the last that a sample named.
    """

    ven_id: VenId
    minute: AwareDatetime
    version: int
    samples: int
    used: Power | None = None
    shed: Power | None = None
    event_id: str | None = None
    requested_reduction_kw: float | None = None


decode_minute = msgspec.json.Decoder(Minute).decode


def power(samples: int, total: float, least: float | None, most: float | None) -> Power | None:
    """Describe a power by its samples: how many, their sum, the least and the most (kW)."""
    if not samples or least is None or most is None:
        return None
    mean = total / samples
    return Power(samples, mean, least, most, mean / 60)
