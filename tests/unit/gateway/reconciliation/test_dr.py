"""What a fleet counts of an event: its ledger, the DR side of the books, and figures worked out by hand."""

from collections.abc import Mapping, Sequence

import pytest

from gateway.fleet import Behaviour, DrLedger, ReceivedCommand, ReportedSample
from gateway.fleet.behaviours import FIELD_MIX, behaviours, generations, parse_shares
from gateway.reconciliation.dr import DrReconciliation, online_at, reconcile_dr
from tests.support.expected_performance import commands_of, outcome_of, reduction_at


def ledger_of(samples: Mapping[str, Sequence[tuple[float, str | None, float]]]) -> DrLedger:
    ledger = DrLedger()
    for ven_id, told in samples.items():
        for seconds, event_id, kw in told:
            ledger.reported(ven_id, ReportedSample(int(seconds * 1000), event_id, kw)).accept()
    return ledger


def told(ledger: DrLedger, ven_id: str, *ops: str, redelivered: bool = False) -> None:
    for op in ops:
        ledger.received(ven_id, ReceivedCommand(0, op, None, "evt-1", {}, redelivered))


def test_figures_weigh_by_time_and_not_by_samples() -> None:
    ledger = ledger_of(
        {
            "a": [(0, None, 0), (10, "evt-1", 4), (20, "evt-1", 2), (21, "evt-1", 2), (40, None, 0)],
            "b": [(15, "evt-1", 1), (25, "evt-2", 5), (95, "evt-1", 1)],
        }
    )
    ledger.reported("a", ReportedSample(12_000, "evt-1", 100.0))  # never accepted
    outcome = outcome_of(ledger, "evt-1", 10, 110)
    assert outcome.mean_kw == pytest.approx({"a": (4 * 10 + 2 * 20) / 100, "b": (1 * 10 + 1 * 15) / 100})
    assert outcome.delivered_kwh == pytest.approx(outcome.reduction_kw * 100 / 3600)
    # The last sample of "a" tells for 60 s, the second of "b" too, of which its third takes over after 70.
    assert outcome.covered == pytest.approx({"a": 0.9, "b": (10 + 60 + 15) / 100})
    assert outcome.covered_share == pytest.approx((0.9 + 0.85) / 2)
    assert [reduction_at(ledger, "evt-1", at) for at in (5, 10, 15, 24.9, 25, 50, 200)] == [0, 4, 5, 3, 2, 0, 1]


def test_each_ven_is_to_be_told_once_and_restored_once() -> None:
    ledger = ledger_of({"a": [(1, None, 0)], "b": [(1, None, 0)], "late": [(9, None, 0)]})
    online = online_at(ledger, 5000)
    assert online == {"a", "b"}
    for ven in ("a", "b", "late"):
        told(ledger, ven, "event", "restore")
    assert reconcile_dr(ledger, "evt-1", online, over=True) == DrReconciliation(3, 3, 0, 0, 0)
    assert reconcile_dr(ledger, "evt-1", online, over=True).passed
    assert commands_of(ledger, "evt-1")["late", "restore"] == 1


def test_the_books_do_not_balance_where_something_was_told_twice_or_not_at_all() -> None:
    ledger = ledger_of({ven: [(1, None, 0)] for ven in ("twice", "never", "left", "cut", "again")})
    told(ledger, "twice", "event", "event", "restore", "restore")
    told(ledger, "left", "event")
    told(ledger, "cut", "event", "event", "restore")
    ledger.cut("cut", 1000)  # it had forgotten the first
    told(ledger, "again", "event", "restore")
    told(ledger, "again", "event", redelivered=True)
    online = online_at(ledger, 5000)
    assert reconcile_dr(ledger, "evt-1", online, over=True) == DrReconciliation(4, 3, 2, 1, 1)
    assert reconcile_dr(ledger, "evt-1", online, over=False) == DrReconciliation(4, 3, 2, 1, 0)
    assert not reconcile_dr(ledger, "evt-1", online, over=False).passed


def test_manners_are_as_many_as_their_shares_and_the_same_again() -> None:
    chosen = behaviours(1, 200, FIELD_MIX)
    assert chosen == behaviours(1, 200, FIELD_MIX) != behaviours(2, 200, FIELD_MIX)
    assert {behaviour: chosen.count(behaviour) for behaviour in FIELD_MIX} == {
        behaviour: round(200 * share) for behaviour, share in FIELD_MIX.items()
    }
    assert set(behaviours(1, 50, {})) == {Behaviour.COMPLIANT}
    assert len(set(generations(1, 50))) == 2


def test_shares_are_read_and_what_is_none_is_named() -> None:
    assert parse_shares("slow=0.1, refuses=0.05") == {Behaviour.SLOW: 0.1, Behaviour.REFUSES: 0.05}
    for wrong in ("rude=0.1", "slow", "slow=much", ""):
        with pytest.raises(ValueError, match="is no manner with its share"):
            parse_shares(wrong)
    for wrong in ("slow=0.6,lies=0.6", "slow=-0.1", "slow=nan"):
        with pytest.raises(ValueError, match="parts of 1"):
            parse_shares(wrong)
