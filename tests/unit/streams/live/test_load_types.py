"""Live totals by type of load."""

from schemas.records.network import LoadTypeTotals
from schemas.records.telemetry import Load, astuple
from streams.live.aggregation import MAX_TYPES, PartitionTotals, merge_types
from tests.unit.streams.live.test_aggregation import MINUTE, at, reading, totals_of

HVAC = Load("a", type="hvac", capacity_kw=7.0, current_power_kw=2.0, shed_capability_kw=1.5)
SOLAR = Load("pv", type="solar", capacity_kw=5.0, current_power_kw=-3.0)


def types_of(totals: PartitionTotals, now: float, disabled: tuple[str, ...] = ()) -> dict[str, LoadTypeTotals]:
    totals.totals(at(now) - MINUTE, disabled)
    return totals.load_types(disabled)


def test_types_add_up_over_online_vens() -> None:
    totals = totals_of(
        [
            reading("a", 0, loads=(HVAC, HVAC, SOLAR)),
            reading("b", 0, loads=(HVAC, Load("x"))),
            reading("gone", 0, loads=(HVAC,)),
            reading("off", 0, loads=(HVAC,)),
        ]
    )
    totals.apply_last_will("gone", at(1))
    assert types_of(totals, 2, ("off",)) == {
        "hvac": LoadTypeTotals(21.0, 4.5, 6.0),
        "other": LoadTypeTotals(),
        "solar": LoadTypeTotals(5.0, 0.0, -3.0),
    }
    assert types_of(totals, 61) == {}


def test_later_loads_replace_earlier_ones() -> None:
    totals = totals_of([reading("a", 0, loads=(HVAC,)), reading("a", 5, loads=(SOLAR,))])
    assert set(types_of(totals, 5)) == {"solar"}


def test_number_of_types_is_limited() -> None:
    many = {f"type-{number:04}": LoadTypeTotals(number, 1.0, 2.0) for number in range(1000)}
    found = merge_types([many, {"other": LoadTypeTotals(1.0, 1.0, 1.0)}])
    assert len(found) <= MAX_TYPES + 1
    sums = [sum(column) for column in zip(*map(astuple, found.values()), strict=True)]
    assert LoadTypeTotals(*sums) == LoadTypeTotals(999 * 500 + 1, 1001, 2001)
    assert found["type-0999"] == LoadTypeTotals(999, 1.0, 2.0)


def test_disabled_ven_is_not_online() -> None:
    totals = totals_of([reading("a", 0, used_power_kw=2.0), reading("b", 0, used_power_kw=1.0)])
    assert totals.totals(at(1) - MINUTE, {"a"}).household_usage_kw == 1.0
    assert totals.totals(at(1) - MINUTE).household_usage_kw == 3.0


def test_type_with_a_long_name_counts_as_other() -> None:
    long = "x" * 1_000_000
    assert set(types_of(totals_of([reading("a", 0, loads=(Load("a", type=long), HVAC))]), 1)) == {"hvac", "other"}
    assert merge_types([{long: LoadTypeTotals(1.0)}, {"other": LoadTypeTotals(2.0)}]) == {"other": LoadTypeTotals(3.0)}
