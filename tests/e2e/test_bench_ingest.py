"""The ingest, latency and scale benchmarks with small loads: they run and reconcile."""

from pathlib import Path

from gateway.bench.environment import BenchEnvironment
from gateway.bench.latency import LatencyOptions
from gateway.bench.latency import measure as measure_latency
from gateway.bench.scale import ScaleOptions
from gateway.bench.scale import measure as measure_scale
from gateway.local.system import System


async def test_probes_are_stored_at_both_shares_of_the_rate(system: System, tmp_path: Path) -> None:
    options = LatencyOptions(messages=1000, vens=10, seconds=5, as_json=True)
    sustained, latencies = await measure_latency(BenchEnvironment(system, tmp_path, print), options)
    assert [round(latency.rate / sustained, 1) for latency in latencies] == [0.5, 0.9]
    for latency in latencies:
        assert latency.probes > 0
        assert 0 < latency.p50_ms <= latency.p95_ms <= latency.p99_ms


async def test_one_worker_of_each_role_is_measured_once(system: System, tmp_path: Path) -> None:
    (one,) = await measure_scale(
        BenchEnvironment(system, tmp_path, print), ScaleOptions(1000, 10, workers=1, as_json=True)
    )
    assert one.workers == 1
    assert one.messages_per_s > 0
    assert one.share > 0
    assert 0 <= one.machine <= 1
