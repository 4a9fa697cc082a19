"""The benchmark of the feed in small: everybody hears of everything, and in time."""

from gateway.bench.feed import FeedOptions, measure
from gateway.local.system import System


async def test_the_feed_bench_measures_totals_and_events(system: System) -> None:
    told: list[str] = []
    figures = await measure(system, FeedOptions(clients=20, stalled=0, vens=0, seconds=6, as_json=True), told.append)
    totals, events = figures["totals"], figures["events"]
    assert isinstance(totals, dict)
    assert isinstance(events, dict)
    assert totals["items"] >= 20 * 2
    assert events["items"] >= 20
    assert totals["p95_ms"] < 5000
    assert len(told) == 2
