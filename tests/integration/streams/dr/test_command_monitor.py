"""Samples as evidence: a VEN reports its event, sheds, and loses the event."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.dr_harness import SHEDS, DrHarness

pytestmark = pytest.mark.usefixtures("active_event")


async def test_samples_set_reported_and_shed_times(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.reading("a", event_id="evt-1", shed_power_kw=0.0)
    await dr.run_once()
    row = (await dr.commands())["a"]
    assert row["reported_at"] is not None
    assert row["shed_at"] is None
    await dr.reading("a", **SHEDS)
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    again = (await dr.commands())["a"]
    times = await dr.rows.fetch("SELECT received_at FROM telemetry_readings WHERE shed_power_kw > 0 ORDER BY 1")
    assert (again["reported_at"], again["shed_at"]) == (row["reported_at"], times[0]["received_at"])


async def test_a_shed_during_an_outage_is_found_afterwards(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.reading("a", **SHEDS)
    await dr.reading("a")
    await dr.run_once()
    assert (await dr.commands())["a"]["shed_at"] is None
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    await dr.advance(31)
    await dr.run_once()
    assert (await dr.commands())["a"]["shed_at"] is not None


async def test_a_ven_that_stops_reporting_its_event_has_lost_it(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    await dr.reading("a")
    await dr.run_once()
    assert (await dr.commands())["a"]["lost_at"] is not None
    assert len(await dr.commands()) == len(await dr.published()) == 1


@pytest.mark.parametrize("left", [1, 100])
async def test_a_loss_during_an_outage_is_recorded_afterwards(dr: DrHarness, left: float) -> None:
    await dr.evidence("sent", "a")
    # Both are stored before the monitor runs again.
    await dr.reading("a", **SHEDS)
    await dr.reading("a")
    await dr.rows.execute("UPDATE commands SET ends_at = now() + $1 * interval '1 s'", float(left))
    await dr.rows.execute("UPDATE events SET end_time = now() + $1 * interval '1 s'", float(left))
    for seconds in (left + 1, 31, 121):
        await dr.advance(seconds)
        await dr.reading("a")
        await dr.run_once()
    assert (await dr.commands())["a"]["reported_at"] is not None
    assert ((await dr.commands())["a"]["lost_at"] is None) == (left < 5)
    assert not (await dr.commands())["a"]["monitored"]


@pytest.mark.parametrize("left", [4, 100])
async def test_an_event_is_not_lost_seconds_before_its_end(dr: DrHarness, left: float) -> None:
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    await dr.rows.execute("UPDATE commands SET ends_at = now() + $1 * interval '1 s'", float(left))
    await dr.reading("a")
    await dr.run_once()
    assert ((await dr.commands())["a"]["lost_at"] is None) == (left < 5)


async def test_a_late_sample_does_not_mean_that_the_event_is_lost(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    await dr.reading("a", timestamp=long_ago)
    await dr.run_once()
    assert (await dr.commands())["a"]["lost_at"] is None


async def test_a_partial_sample_does_not_lose_the_event(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    await dr.reading("a", None, used_power_kw=None, shed_power_kw=None, battery_soc=0.8)
    await dr.run_once()
    assert (await dr.commands())["a"]["lost_at"] is None
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    assert (await dr.commands())["a"]["lost_at"] is None


@pytest.mark.parametrize("skew", [-240.0, 18_000.0])
async def test_a_clock_corrected_in_mid_event_still_reports(dr: DrHarness, skew: float) -> None:
    now = datetime.now(UTC)
    await dr.evidence("sent", "a")
    await dr.reading("a", timestamp=now - timedelta(seconds=skew), received_at=now, clock_skew_seconds=skew)
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    command = (await dr.commands())["a"]
    assert command["reported_at"] is not None
    assert command["shed_at"] is not None


async def test_no_event_is_lost_while_a_skew_is_unknown(dr: DrHarness) -> None:
    received, behind = datetime.now(UTC), timedelta(minutes=30)
    await dr.evidence("sent", "a")
    # The third sample is the first after a restart: its skew is not known yet.
    for seconds, skew, fields in ((-900, 1800.0, {}), (1, 1800.0, SHEDS), (2, 0.0, SHEDS), (3, 1800.0, SHEDS)):
        at = received + timedelta(seconds=seconds)
        await dr.reading("a", timestamp=at - behind, received_at=at, clock_skew_seconds=skew, **fields)
        await dr.run_once()
    for seconds in (601, 31, 121):
        await dr.advance(seconds)
        await dr.run_once()
    command = (await dr.commands())["a"]
    assert (command["lost_at"], command["monitored"]) == (None, False)
