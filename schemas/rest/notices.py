"""Messages that are kept for the record."""

from datetime import datetime
from typing import Any

from schemas.rest.model import RestModel


class RestNotice(RestModel):
    """One message as it was sent; the same words of one day are one notice, received first and last at these times."""

    timestamp: datetime
    received_at: datetime
    last_received_at: datetime
    kind: str
    topic: str
    ven_id: str | None
    document: dict[str, Any]


class Notices(RestModel):
    """The newest notices that match, oldest first; `total_count` is how many match."""

    total_count: int
    notices: list[RestNotice]
