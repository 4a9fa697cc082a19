"""The records of ven.telemetry.1m: aggregates of one VEN and minute."""

import msgspec

from schemas.records.telemetry import AwareDatetime, VenId


class Power(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A power in a minute: mean, minimum and maximum (kW) of the samples that have it, and its energy (kWh).

    Each sample holds until the next one, also into minutes without samples, where mean, minimum and maximum are None.
    The energy is the integral of the power over the `covered_seconds` of the minute in which one holds.
    """

    samples: int
    mean_kw: float | None = None
    min_kw: float | None = None
    max_kw: float | None = None
    energy_kwh: float
    covered_seconds: float


class Minute(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A closed minute, identified by (ven_id, minute); of several records the one with the highest `version` is valid.

    `minute` is its start, UTC. `used` and `shed` are None if no sample has them and none holds from before; `event_id`
    and `requested_reduction_kw` are those of the last sample that has them.
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
