"""Shares of what an event asks for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dr.allocation import (
    FULL_CAPABILITY,
    NOTHING_TO_SHED,
    PROPORTIONAL,
    UNKNOWN,
    Share,
    Totals,
    share_of,
)

FLEETS = st.lists(st.one_of(st.none(), st.floats(0, 50)), min_size=1, max_size=40)
KW = st.floats(0.001, 1e6)


def shares(requested: float, fleet: list[float | None]) -> list[Share]:
    basis = Totals.of(fleet)
    return [share_of(requested, basis, capability) for capability in fleet]


@given(requested=KW, fleet=FLEETS)
def test_never_more_than_asked_for_nor_than_a_ven_can(requested: float, fleet: list[float | None]) -> None:
    found = shares(requested, fleet)
    assert math.fsum(share.kw for share in found) <= requested + 1e-6 * len(fleet)
    for share, capability in zip(found, fleet, strict=True):
        assert math.isfinite(share.kw)
        assert 0 <= share.kw <= (requested + 1e-6 if capability is None else capability)


@given(requested=KW, fleet=st.lists(st.floats(0.01, 50), min_size=1, max_size=40))
def test_all_is_shared_out_if_the_fleet_can_carry_it(requested: float, fleet: list[float]) -> None:
    found = shares(requested, list(fleet))
    assert math.fsum(share.kw for share in found) == pytest.approx(
        min(requested, math.fsum(fleet)), abs=1e-6 * len(fleet)
    )
    assert all(share.kw > 0 for share in found)
    # Who can shed more is never asked for less.
    in_order = [share.kw for _, share in sorted(zip(fleet, found, strict=True))]
    assert in_order == pytest.approx(sorted(in_order), abs=1e-6)


@given(requested=st.floats(0.001, 1000), fleet=st.lists(st.floats(1, 2), min_size=1, max_size=40))
def test_similar_homes_shed_the_same_part_of_their_capability(requested: float, fleet: list[float]) -> None:
    found = shares(requested, list(fleet))
    parts = [share.kw / capability for share, capability in zip(found, fleet, strict=True)]
    assert parts == pytest.approx([parts[0]] * len(parts), abs=1e-4)


@given(number=st.integers(1, 100), part=st.floats(0.01, 0.9), claim=st.floats(2, 1e9))
def test_one_that_claims_too_much_gets_a_bounded_part(number: int, part: float, claim: float) -> None:
    requested = part * number * 2.0
    *honest, liar = shares(requested, [*[2.0] * number, claim])
    assert liar.kw <= requested * 2 / (number + 2) + 1e-5
    for share in honest:
        assert share.kw >= requested / (number + 2) - 1e-5


@given(requested=KW, number=st.integers(1, 100))
def test_equal_shares_where_nobody_has_told(requested: float, number: int) -> None:
    assert shares(requested, [None] * number) == [Share(round(requested / number, 6), UNKNOWN)] * number


@given(requested=KW, fleet=FLEETS, joiner=st.one_of(st.none(), st.floats(0, 50)))
def test_a_late_joiner_is_figured_as_if_it_had_been_there(
    requested: float, fleet: list[float | None], joiner: float | None
) -> None:
    late = share_of(requested, Totals.of([*fleet, joiner]), joiner)
    there = share_of(requested, Totals.of([joiner, *fleet]), joiner)
    assert late.kw == pytest.approx(there.kw, abs=1e-6)


def test_reasons() -> None:
    assert shares(6, [4.0, 8.0]) == [Share(2.0, PROPORTIONAL), Share(4.0, PROPORTIONAL)]
    assert shares(60, [4.0, 8.0]) == [Share(4.0, FULL_CAPABILITY), Share(8.0, FULL_CAPABILITY)]
    assert shares(6, [0.0, None, 8.0]) == [Share(0.0, NOTHING_TO_SHED), Share(2.0, UNKNOWN), Share(4.0, PROPORTIONAL)]


def test_the_first_to_join_an_event_that_nobody_was_there_for() -> None:
    assert share_of(5, Totals.of([None]), None) == Share(5, UNKNOWN)
    assert share_of(5, Totals.of([3.0]), 3.0) == Share(3.0, FULL_CAPABILITY)
