"""The record of ven.power-limits: the plausible power of one VEN."""

from typing import Annotated

import msgspec

from schemas.records.telemetry import MAX_MAGNITUDE, VenId


class PowerLimit(msgspec.Struct, frozen=True, rename="camel"):
    """Power of this VEN beyond the limit, in kW and either way, is rejected. A tombstone means the default limit."""

    ven_id: VenId
    max_power_kw: Annotated[float, msgspec.Meta(gt=0, le=MAX_MAGNITUDE)]


decode_power_limit = msgspec.json.Decoder(PowerLimit).decode
