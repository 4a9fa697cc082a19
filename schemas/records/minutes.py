"""The records of ven.telemetry.1m: aggregates of one VEN and minute."""

import msgspec

from schemas.records.telemetry import AwareDatetime, VenId


class Power(msgspec.Struct, frozen=True, rename="camel"):
    """Aggregates of the samples of a minute that have this power, in kW; `energy_kwh` is a minute at their mean."""

    samples: int
    mean_kw: float
    min_kw: float
    max_kw: float
    energy_kwh: float


class Minute(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A closed minute, identified by (ven_id, minute); of several records the one with the highest `version` is valid.

    `minute` is its start, UTC. `used` and `shed` are None if no sample has them; `event_id` and
    `requested_reduction_kw` are those of the last sample that has them.
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
    """Build the aggregate from the number, sum, minimum and maximum of the samples (kW)."""
    if not samples or least is None or most is None:
        return None
    mean = total / samples
    return Power(samples, mean, least, most, mean / 60)
