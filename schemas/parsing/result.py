"""What every parser takes and gives."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from schemas.base.rejection import Rejection


class Source(NamedTuple):
    """How a payload arrived: its MQTT topic, when the gateway received it (UTC), and whether it was a retained one."""

    topic: str
    received_at: datetime
    retained: bool = False


class Parsed(NamedTuple):
    """A payload that counts as one canonical record, and the loads of it that do not count."""

    record: Any
    rejected_loads: Sequence[Rejection] = ()
