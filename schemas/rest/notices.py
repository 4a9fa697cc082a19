"""Messages that are kept for the record."""

from datetime import datetime
from typing import Any

from schemas.rest.model import RestModel, example

_NOTICE = {
    "timestamp": "2025-10-23T15:12:09Z",
    "receivedAt": "2025-10-23T15:12:09.337000Z",
    "lastReceivedAt": "2025-10-23T15:12:09.337000Z",
    "kind": "responses",
    "topic": "openadr/response",
    "venId": "ven-001",
    "document": {"ven_id": "ven-001", "response": "ack"},
}


class RestNotice(RestModel):
    """One message as it was sent; the same words of one day are one notice, received first and last at these times."""

    model_config = example(_NOTICE)

    timestamp: datetime
    received_at: datetime
    last_received_at: datetime
    kind: str
    topic: str
    ven_id: str | None
    document: dict[str, Any]


class Notices(RestModel):
    """The newest notices that match, oldest first; `total_count` is how many match."""

    model_config = example({"totalCount": 1, "notices": [_NOTICE]})

    total_count: int
    notices: list[RestNotice]
