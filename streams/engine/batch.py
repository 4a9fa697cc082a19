"""A batch: the records that one fetch returned for one Kafka partition."""

from collections.abc import Mapping, Sequence
from typing import Any

from faust.types import TP

Record = Any
"""aiokafka's ConsumerRecord, with topic, partition, offset, timestamp, key, value and headers."""


class Batch:
    """Records of one partition, in order; one Faust event carries one batch."""

    __slots__ = ("acknowledged", "finished", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[Record]) -> None:
        self.tp = tp
        self.records = records
        self.finished = False  # set by the agent after its work
        self.acknowledged = False  # set by the consumer when the finished batch may be committed

    @property
    def next_offset(self) -> int:
        """The offset to commit for this batch."""
        return int(self.records[-1].offset) + 1

    @property
    def size(self) -> int:
        """The size of the values in bytes."""
        return sum([len(record.value or b"") for record in self.records])


def headers_of(record: Record) -> Mapping[str, bytes]:
    """Return the headers by name; of repeated headers the last, and null values as empty bytes."""
    headers: dict[str, bytes] = dict(record.headers or ())
    return {name: value or b"" for name, value in headers.items()} if None in headers.values() else headers
