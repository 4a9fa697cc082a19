"""What VENs report of their own faults."""

from datetime import datetime

from schemas.rest.model import RestModel


class Fault(RestModel):
    """One report, in the VEN's own words."""

    timestamp: datetime
    received_at: datetime
    error: str


class Faults(RestModel):
    """The newest reports that match, oldest first; `total_count` is how many match."""

    total_count: int
    faults: list[Fault]
