"""The figures of the benchmark of backpressure, from looks and counts that were made up."""

import pytest

from gateway.bench.backlog import BacklogSample
from gateway.bench.backpressure_metrics import BackpressureMetrics, CommitRate, DrainTimes
from gateway.reconciliation.telemetry import Reconciliation


def test_rate_is_measured_between_commits() -> None:
    marks = CommitRate(warm_up=5)
    for seconds, stored in ((1, 900), (4, 1900), (6, 2000), (7, 2000), (8, 2000)):
        marks.note(seconds, stored)
    assert marks.per_second is None
    marks.note(10, 4000)
    assert marks.per_second is None
    marks.note(14, 6000)
    # What is waited for at the end is not counted.
    marks.note(19, 6000)
    assert marks.per_second == (6000 - 2000) / (14 - 6)


def test_live_totals_are_drained_after_the_bridge() -> None:
    samples = [
        BacklogSample(at=101, received=50, stored=10, live_as_of=90, live_age_s=11, rows_age_s=30),
        BacklogSample(at=104, received=100, stored=40, live_as_of=103.5, live_age_s=0.5, rows_age_s=33),
        BacklogSample(at=106, received=100, stored=60, live_as_of=104.5, live_age_s=1.5, rows_age_s=20),
        BacklogSample(at=120, received=100, stored=100, live_as_of=118, live_age_s=2, rows_age_s=40),
    ]
    assert DrainTimes.of(samples, 100, since=100) == DrainTimes(
        bridge_s=4, live_s=6, rows_s=20, live_age_s=11, rows_age_s=33
    )


def test_complete_first_sample_is_drained_at_once() -> None:
    sample = BacklogSample(at=101, received=100, stored=100, live_as_of=101, live_age_s=0, rows_age_s=1)
    assert DrainTimes.of([sample], 100, since=100) == DrainTimes(1, 1, 1, 0, 1)


def metrics(**processes: float) -> BackpressureMetrics:
    return BackpressureMetrics(
        vens=10,
        seconds=60,
        speed=0.0512,
        sustained_per_s=400,
        offered_per_s=4100,
        messages=246_000,
        in_mqtt=1,
        in_log=2,
        waiting={"sink": 3},
        drained=DrainTimes(1, 2, 3, 4, 5),
        ours=processes,
        servers={"kafka": 400.0},
        reconciliation=Reconciliation(10, 10, 10, 0, 0, 0, 0),
    )


@pytest.mark.parametrize("peak", [250.0, 250.1])
def test_memory_limit_applies_to_our_processes_only(peak: float) -> None:
    summed = metrics(bridge=80.0, sink=peak).as_dict()
    assert summed["within_memory"] is (peak == 250.0)
    assert summed["processes"] == {"bridge": {"peak_mb": 80.0}, "sink": {"peak_mb": peak}, "kafka": {"peak_mb": 400.0}}
    assert (summed["times"], summed["lost"], summed["duplicated"]) == (10.25, 0, 0)
