"""The backpressure benchmark with a small load: it reconciles, and the backlog drains."""

from pathlib import Path

import pytest

from gateway.bench.backpressure import BackpressureOptions, measure
from gateway.bench.environment import BenchEnvironment
from gateway.local.system import System


async def test_the_backpressure_bench_measures_a_burst_and_its_drain(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.bench.backpressure._IN_FLIGHT", 1000)
    options = BackpressureOptions(vens=50, seconds=1, times=2, speed=0.3, as_json=True)
    figures = await measure(BenchEnvironment(system, tmp_path, print), options)
    assert (figures.reconciliation.lost, figures.reconciliation.duplicated) == (0, 0)
    assert figures.reconciliation.accepted == figures.reconciliation.stored > figures.messages > 0
    assert 0 < figures.speed < 0.6
    assert figures.sustained_per_s > 0
    assert figures.drained.bridge_s <= figures.drained.live_s
    assert figures.drained.bridge_s <= figures.drained.rows_s
    assert {"bridge", "streams-validate", "streams-sink", "streams-live", "api"} <= figures.ours.keys()
    assert set(figures.waiting) == {"validate", "sink", "live"}
