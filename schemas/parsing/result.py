"""The argument and the result of the parsers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from schemas.base.rejection import Rejection


class Source(NamedTuple):
    """How a payload arrived: its MQTT topic, its receive time (UTC), and whether it was retained."""

    topic: str
    received_at: datetime
    retained: bool = False


class Parsed(NamedTuple):
    """The canonical record of a payload, and the rejections of single loads."""

    record: Any
    rejected_loads: Sequence[Rejection] = ()
