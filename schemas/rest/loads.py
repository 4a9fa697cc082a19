"""A circuit of a VEN, and what can be asked of it."""

from typing import Self

from pydantic import StrictBool, model_validator

from schemas.rest.model import Figure, RestModel, example
from schemas.rest.request_body import RequestBody
from schemas.rest.values import Kw, Priority

LOAD = {
    "id": "hvac1",
    "type": "hvac",
    "name": "HVAC",
    "capacityKw": 7.2,
    "shedCapabilityKw": 2.1,
    "currentPowerKw": 2.1,
    "enabled": True,
    "priority": 5,
    "pending": False,
}
"""The example."""


class RestLoad(RestModel):
    """One circuit; power in kW. `pending` is true while it shows what was asked for, and the VEN has not reported."""

    model_config = example(LOAD)

    id: str
    type: str
    name: str
    capacity_kw: Figure
    shed_capability_kw: Figure
    current_power_kw: Figure
    enabled: bool
    priority: int
    pending: bool = False


class LoadUpdate(RequestBody):
    """What a load can be set to; what is absent or null stays as it is."""

    model_config = example({"enabled": True, "capacityKw": 3.5})

    enabled: StrictBool | None = None
    capacity_kw: Kw | None = None
    priority: Priority | None = None

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.enabled is None and self.capacity_kw is None and self.priority is None:
            raise ValueError("one of enabled, capacityKw and priority is expected")
        return self
