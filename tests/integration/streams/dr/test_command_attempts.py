"""Delivery unknown: a second attempt needs a sample that shows no sign of the first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.dr_harness import SHEDS, DrHarness

pytestmark = pytest.mark.usefixtures("active_event")


async def attempts(dr: DrHarness) -> list[int]:
    return [record.attempt for record in await dr.published() if record.ven_id == "a"]


async def delivery_unknown(dr: DrHarness) -> None:
    """The bridge crashed between `sending` and `sent`."""
    await dr.evidence("sending", "a")
    await dr.advance(31)


async def test_a_sample_without_the_event_triggers_one_more_attempt(dr: DrHarness) -> None:
    await delivery_unknown(dr)
    await dr.run_once()
    assert await attempts(dr) == [1]
    await dr.reading("a")
    for _ in range(3):
        await dr.run_once()
        await dr.reading("a")
    assert await attempts(dr) == [1, 2]
    assert (await dr.commands())["a"]["correlation_id"] == (await dr.published())[1].correlation_id
    # Evidence of the first attempt is not evidence of the second.
    await dr.evidence("sending", "a", attempt=1)
    assert (await dr.commands())["a"]["sending_at"] is None
    await dr.evidence("sending", "a", attempt=2)
    await dr.evidence("sent", "a", attempt=2)
    await dr.advance(31)
    await dr.reading("a")
    await dr.run_once()
    assert await attempts(dr) == [1, 2]


@pytest.mark.parametrize(
    "sample",
    [SHEDS, {"event_id": "evt-1", "shed_power_kw": 0.0}, {"event_id": "evt-77"}, {"shed_power_kw": 1.5}],
    ids=["sheds", "reports", "another event", "sheds without an event"],
)
async def test_a_sample_with_any_event_or_shed_prevents_a_repeat(dr: DrHarness, sample: dict[str, Any]) -> None:
    await delivery_unknown(dr)
    await dr.reading("a", **sample)
    await dr.run_once()
    await dr.reading("a", **sample)
    await dr.run_once()
    assert await attempts(dr) == [1]


async def test_a_sample_measured_too_early_triggers_no_attempt(dr: DrHarness) -> None:
    await dr.evidence("sending", "a")
    await dr.reading("a")
    await dr.advance(20)
    await dr.run_once()
    await dr.reading("a", timestamp=datetime.now(UTC) - timedelta(minutes=1), received_at=datetime.now(UTC))
    await dr.run_once()
    assert await attempts(dr) == [1]


async def test_a_delayed_sample_triggers_no_attempt(dr: DrHarness) -> None:
    """Measured before the command could have arrived, received long after."""
    before = datetime.now(UTC)
    await dr.evidence("sending", "a")
    await dr.advance(31)
    measured = before - timedelta(seconds=30)
    await dr.reading("a", timestamp=measured, received_at=datetime.now(UTC))
    await dr.run_once()
    assert await attempts(dr) == [1]
    await dr.reading("a")
    await dr.run_once()
    await dr.run_once()
    assert await attempts(dr) == [1, 2]


@pytest.mark.parametrize("evidence", ["ack", "sent"])
async def test_an_ack_or_sent_record_prevents_a_second_attempt(dr: DrHarness, evidence: str) -> None:
    await delivery_unknown(dr)
    if evidence == "ack":
        await dr.ack("a")
    else:
        await dr.evidence("sent", "a")
    await dr.reading("a")
    await dr.run_once()
    assert await attempts(dr) == [1]


async def test_evidence_before_publishing_cancels_the_attempt(dr: DrHarness) -> None:
    await delivery_unknown(dr)
    await dr.reading("a")
    await dr.monitor.run_once()
    assert (await dr.commands())["a"]["attempt"] == 2
    await dr.evidence("sent", "a", attempt=1)
    await dr.run_once()
    assert await attempts(dr) == [1]


async def test_a_restore_is_repeated_while_the_event_is_reported(dr: DrHarness) -> None:
    await dr.shed_until_the_end()
    await dr.evidence("sending", "a", "restore")
    await dr.advance(31)
    await dr.reading("a", **SHEDS)
    await dr.run_once()
    restores = [record.attempt for record in await dr.published() if record.op == "restore"]
    assert restores == [1, 2]
    await dr.evidence("sending", "a", "restore", 2)
    await dr.evidence("sent", "a", "restore", 2)
    await dr.reading("a")
    await dr.run_once()
    assert (await dr.commands("restore"))["a"]["reported_at"] is not None


async def test_a_ven_that_never_reported_reports_no_restore(dr: DrHarness) -> None:
    await dr.evidence("sent", "a")
    await dr.rows.execute("UPDATE events SET ended_at = now()")
    await dr.run_once()
    await dr.evidence("sent", "a", "restore")
    await dr.reading("a")
    await dr.run_once()
    assert (await dr.commands("restore"))["a"]["reported_at"] is None
