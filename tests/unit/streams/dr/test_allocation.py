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
    ParticipantTotals,
    Share,
    share_of,
)

FLEETS = st.lists(st.one_of(st.none(), st.floats(0, 50)), min_size=1, max_size=40)
KW = st.floats(0.001, 1e6)


def shares(requested: float, fleet: list[float | None]) -> list[Share]:
    basis = ParticipantTotals.of(fleet)
    return [share_of(requested, basis, capability) for capability in fleet]


@given(requested=KW, fleet=FLEETS)
def test_never_more_than_asked_for_nor_than_a_ven_can(requested: float, fleet: list[float | None]) -> None:
    found = shares(requested, fleet)
    assert math.fsum(share.kw for share in found) <= requested + 1e-6 * len(fleet)
    for share, capability in zip(found, fleet, strict=True):
        assert math.isfinite(share.kw)
        assert 0 <= share.kw <= (requested + 1e-6 if capability is None else capability)


@given(requested=KW, fleet=st.lists(st.floats(0.01, 50), min_size=1, max_size=40))
def test_all_of_it_is_shared_out_where_the_fleet_can(requested: float, fleet: list[float]) -> None:
    found = shares(requested, list(fleet))
    assert math.fsum(share.kw for share in found) == pytest.approx(
        min(requested, math.fsum(fleet)), abs=1e-6 * len(fleet)
    )
    # In proportion: all shed the same part of what they can.
    parts = [share.kw / capability for share, capability in zip(found, fleet, strict=True)]
    assert parts == pytest.approx([parts[0]] * len(parts), abs=1e-4)


@given(requested=KW, number=st.integers(1, 100))
def test_equal_shares_where_nobody_has_told(requested: float, number: int) -> None:
    assert shares(requested, [None] * number) == [Share(round(requested / number, 6), UNKNOWN)] * number


@given(requested=KW, fleet=FLEETS, joiner=st.one_of(st.none(), st.floats(0, 50)))
def test_a_late_joiner_is_figured_as_if_it_had_been_there(
    requested: float, fleet: list[float | None], joiner: float | None
) -> None:
    late = share_of(requested, ParticipantTotals.of(fleet).including([joiner]), joiner)
    there = share_of(requested, ParticipantTotals.of([*fleet, joiner]), joiner)
    assert late.kw == pytest.approx(there.kw, abs=1e-6)


def test_reasons() -> None:
    assert shares(6, [4.0, 8.0]) == [Share(2.0, PROPORTIONAL), Share(4.0, PROPORTIONAL)]
    assert shares(60, [4.0, 8.0]) == [Share(4.0, FULL_CAPABILITY), Share(8.0, FULL_CAPABILITY)]
    assert shares(6, [0.0, None, 8.0]) == [Share(0.0, NOTHING_TO_SHED), Share(2.0, UNKNOWN), Share(4.0, PROPORTIONAL)]


def test_the_first_to_join_an_event_that_nobody_was_there_for() -> None:
    assert share_of(5, ParticipantTotals().including([None]), None) == Share(5, UNKNOWN)
    assert share_of(5, ParticipantTotals().including([3.0]), 3.0) == Share(3.0, FULL_CAPABILITY)
