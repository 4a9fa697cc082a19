"""The reconciliation of DR commands, and the DR metrics that tests compute from a ledger."""

from collections.abc import Mapping, Sequence

import pytest

from gateway.fleet import DrLedger, ReceivedCommand, ReportedSample
from gateway.reconciliation.dr import DrReconciliation, online_at, reconcile_dr
from tests.support.expected_performance import commands_of, outcome_of, reduction_at


def ledger_of(samples: Mapping[str, Sequence[tuple[float, str | None, float]]]) -> DrLedger:
    ledger = DrLedger()
    for ven_id, commanded in samples.items():
        for seconds, event_id, kw in commanded:
            ledger.add_sample(ven_id, ReportedSample(int(seconds * 1000), event_id, kw)).accept()
    return ledger


def commanded(ledger: DrLedger, ven_id: str, *ops: str, redelivered: bool = False) -> None:
    for op in ops:
        ledger.add_command(ven_id, ReceivedCommand(0, op, None, "evt-1", {}, redelivered))


def test_metrics_are_weighted_by_time() -> None:
    ledger = ledger_of(
        {
            "a": [(0, None, 0), (10, "evt-1", 4), (20, "evt-1", 2), (21, "evt-1", 2), (40, None, 0)],
            "b": [(15, "evt-1", 1), (25, "evt-2", 5), (95, "evt-1", 1)],
        }
    )
    ledger.add_sample("a", ReportedSample(12_000, "evt-1", 100.0))  # never accepted
    outcome = outcome_of(ledger, "evt-1", 10, 110)
    assert outcome.mean_kw == pytest.approx({"a": (4 * 10 + 2 * 20) / 100, "b": (1 * 10 + 1 * 15) / 100})
    assert outcome.delivered_kwh == pytest.approx(outcome.reduction_kw * 100 / 3600)
    # Nothing covers the first 5 seconds of "b".
    assert outcome.covered == pytest.approx({"a": 1.0, "b": 0.95})
    assert outcome.covered_share == pytest.approx(0.975)
    short = outcome_of(ledger, "evt-1", 10, 110, hold=10)
    assert short.covered == pytest.approx({"a": (10 + 1 + 10 + 10) / 100, "b": (10 + 10 + 10) / 100})
    assert short.delivered_kwh == pytest.approx((4 * 10 + 2 * 11 + 1 * 10 + 1 * 10) / 3600)
    assert [reduction_at(ledger, "evt-1", at) for at in (5, 10, 15, 24.9, 25, 50, 200)] == [0, 4, 5, 3, 2, 0, 1]


def test_one_event_and_one_restore_each_passes() -> None:
    ledger = ledger_of({"a": [(1, None, 0)], "b": [(1, None, 0)], "late": [(9, None, 0)]})
    online = online_at(ledger, 5000)
    assert online == {"a", "b"}
    for ven in ("a", "b", "late"):
        commanded(ledger, ven, "event", "restore")
    assert reconcile_dr(ledger, "evt-1", online, completed=True) == DrReconciliation(3, 3, 0, 0, 0)
    assert reconcile_dr(ledger, "evt-1", online, completed=True).passed
    assert commands_of(ledger, "evt-1")["late", "restore"] == 1


def test_repeated_or_missing_commands_fail() -> None:
    ledger = ledger_of({ven: [(1, None, 0)] for ven in ("twice", "never", "left", "cut", "again")})
    commanded(ledger, "twice", "event", "event", "restore", "restore")
    commanded(ledger, "left", "event")
    commanded(ledger, "cut", "event", "event", "restore")
    ledger.add_power_cut("cut", 1000)  # so it may receive a second revision
    commanded(ledger, "again", "event", "restore")
    commanded(ledger, "again", "event", redelivered=True)
    online = online_at(ledger, 5000)
    assert reconcile_dr(ledger, "evt-1", online, completed=True) == DrReconciliation(4, 3, 2, 1, 1)
    assert reconcile_dr(ledger, "evt-1", online, completed=False) == DrReconciliation(4, 3, 2, 1, 0)
    assert not reconcile_dr(ledger, "evt-1", online, completed=False).passed
