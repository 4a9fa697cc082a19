"""Which records of network.stats are kept as totals of the network: what others write there must stop nothing."""

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from streams.sink.live_totals_history import network_totals

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)
GOOD = NetworkTotals(NOW, Totals(3, 2.0), {"hvac": LoadTypeTotals(1.0)})


class Record(NamedTuple):
    value: bytes
    key: bytes = b"network"


def test_totals_of_the_network_are_kept() -> None:
    assert network_totals(Record(encode_record(GOOD))) == GOOD


@pytest.mark.parametrize(
    "record",
    [
        Record(b"junk"),
        Record(b""),
        Record(encode_record(GOOD), b"type:hvac"),
        Record(encode_record(NetworkTotals(NOW, Totals(2**31)))),
        Record(encode_record(NetworkTotals(NOW, Totals(), {"hv\0ac": LoadTypeTotals()}))),
    ],
)
def test_what_the_table_could_not_take_is_not(record: Record) -> None:
    assert network_totals(record) is None
