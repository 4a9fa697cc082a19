"""What VENs report of their own faults."""

from datetime import datetime

from schemas.rest.model import RestModel, example

_FAULT = {"timestamp": "2025-10-23T17:05:00Z", "receivedAt": "2025-10-23T17:05:00.212000Z", "error": "CT clamp 2 lost"}


class Fault(RestModel):
    """One report, in the VEN's own words."""

    model_config = example(_FAULT)

    timestamp: datetime
    received_at: datetime
    error: str


class Faults(RestModel):
    """The newest reports that match, oldest first; `total_count` is how many match."""

    model_config = example({"totalCount": 1, "faults": [_FAULT]})

    total_count: int
    faults: list[Fault]
