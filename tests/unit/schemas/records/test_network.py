"""Live totals add up field by field, and travel through the log as they are."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas.records.network import NetworkTotals, Partial, Totals, decode_network_totals, decode_partial
from schemas.records.telemetry import astuple, encode_record

KW = st.integers(-10_000, 10_000).map(float)  # whole, so that sums are exact in any order
TOTALS = st.builds(Totals, st.integers(0, 1000), KW, KW, KW, KW)
NOW = datetime(2025, 3, 10, 12, 0, 0, 250_000, tzinfo=UTC)


@given(st.lists(TOTALS, max_size=5))
def test_totals_add_up_field_by_field(totals: list[Totals]) -> None:
    assert astuple(sum(totals, Totals())) == tuple(map(sum, zip(astuple(Totals()), *map(astuple, totals), strict=True)))


@given(TOTALS, TOTALS, TOTALS)
def test_the_order_of_adding_does_not_matter(a: Totals, b: Totals, c: Totals) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Totals() == a


@given(TOTALS)
def test_partials_and_totals_survive_encoding(totals: Totals) -> None:
    partial, network = Partial(3, NOW, totals), NetworkTotals(NOW, totals)
    assert decode_partial(encode_record(partial)) == partial
    assert decode_network_totals(encode_record(network)) == network


def test_total_names_equal_those_of_network_stats() -> None:
    assert encode_record(Totals(1, 2.0, 3.0, 4.0, 5.0)) == (
        b'{"onlineVens":1,"householdUsageKw":2.0,"currentLoadReductionKw":3.0,'
        b'"controllablePowerKw":4.0,"potentialLoadReductionKw":5.0}'
    )
