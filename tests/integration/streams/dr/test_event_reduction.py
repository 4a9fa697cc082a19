"""What VENs delivered over an event: weighted by real gaps, never by the number of samples."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import count, pairwise

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.queries.event_reduction import DELIVERED
from runtime.database import Connection
from tests.support.readings import NOON
from tests.support.servers import Databases, connect

HOUR = NOON + timedelta(hours=1)
HOLD = 60.0
NUMBERS = count(1)
OURS, OTHER = "evt-1", "evt-2"

Sample = tuple[float, float | None, str | None]
"""At which minute a VEN said what it shed (kW), and for which event."""


def at(minute: float, kw: float | None, event_id: str | None = OURS) -> Sample:
    return minute, kw, event_id


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


async def delivered(rows: Connection, *vens: Sequence[Sample]) -> list[tuple[float, float]]:
    """What the statement says of so many VENs, asked at once: kWh, and seconds that samples cover."""
    names = [f"ven-{next(NUMBERS)}" for _ in vens]
    await rows.executemany(
        "INSERT INTO telemetry_readings (ven_id, time, received_at, shed_power_kw, event_id) "
        "VALUES ($1, $2, $2, $3, $4)",
        [
            (name, NOON + timedelta(minutes=minute), kw, event_id)
            for name, samples in zip(names, vens, strict=True)
            for minute, kw, event_id in samples
        ],
    )
    found = {row["ven_id"]: row for row in await rows.fetch(DELIVERED, OURS, names, NOON, HOUR, HOLD)}
    return [(found[name]["energy_kwh"], found[name]["covered_seconds"]) for name in names]


@pytest.mark.parametrize(
    ("samples", "kwh", "minutes"),
    [
        ([], 0.0, 0),
        ([at(0, 4.0)], 4.0, 1),
        ([at(30, 4.0)], 2.0, 1),  # nothing was shed before
        ([at(0, 4.0), at(30, 0.0)], 2.0, 2),
        ([at(0, 4.0), at(45, 0.0)], 3.0, 2),
        ([at(0, 4.0), *(at(45 + n / 100, 0.0) for n in range(1000))], 3.0, 11.99),  # many samples weigh nothing
        ([at(0, 4.0), at(0.5, 8.0), at(1, 0.0)], 0.1, 2),  # a sample covers to the next one only
        ([at(-0.5, 4.0)], 4.0, 0.5),  # told just before, and held
        ([at(-0.9, 8.0), at(-0.5, 4.0)], 4.0, 0.5),
        ([at(-10, 4.0)], 0.0, 0),
        ([at(0, 4.0), at(60, 100.0), at(90, 100.0)], 4.0, 1),  # the end is not in it
        ([at(59.5, 6.0)], 0.05, 0.5),
        ([at(0, -1.0)], -1.0, 1),
        ([at(0, 5e-324), at(30, 4.0)], 2.0, 2),  # the smallest number there is
        ([at(0, 4.0), at(15, 8.0, OTHER), at(30, 4.0)], 3.0, 3),  # another event's is none of ours
        ([at(0, 4.0), at(15, 8.0, None)], 1.0, 2),
        ([at(0, 4.0), at(15, None)], 4.0, 1),  # says nothing of what is shed
        ([at(0, 4.0), at(15, None, None)], 1.0, 2),
    ],
)
async def test_samples_hold_until_the_next(rows: Connection, samples: list[Sample], kwh: float, minutes: float) -> None:
    (found,) = await delivered(rows, samples)
    assert found == pytest.approx((kwh, minutes * 60))


async def test_an_event_without_a_length_has_nothing(rows: Connection) -> None:
    (row,) = await rows.fetch(DELIVERED, OURS, ["nobody"], NOON, NOON, HOLD)
    assert tuple(row) == ("nobody", 0.0, 0.0)
    assert await rows.fetch(DELIVERED, OURS, [], NOON, HOUR, HOLD) == []


def reference(samples: Sequence[Sample]) -> tuple[float, float]:
    """The same, sample by sample."""
    told = sorted(
        (NOON + timedelta(minutes=minute), 0.0 if event_id != OURS or kw is None else kw)
        for minute, kw, event_id in samples
        if minute >= -HOLD / 60 and (event_id != OURS or kw is not None)
    )
    seconds = [(max(0.0, (moment - NOON).total_seconds()), moment, kw) for moment, kw in told if moment < HOUR]
    kws = covered = 0.0
    for (since, moment, kw), (until, *_) in pairwise([*seconds, (3600.0, HOUR, 0.0)]):
        kws += kw * (until - since)
        covered += max(0.0, min(until, (moment - NOON).total_seconds() + HOLD) - since)
    return kws / 3600, covered


SAMPLES = st.lists(
    st.tuples(
        # Whole seconds: no two samples of a VEN are of the same time.
        st.integers(-120, 3800).map(lambda second: second / 60),
        st.none() | st.floats(-100, 100),
        st.sampled_from([OURS, OURS, OTHER, None]),
    ),
    max_size=30,
    unique_by=lambda sample: sample[0],
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(SAMPLES, min_size=1, max_size=4))
async def test_it_is_what_the_samples_come_to_one_by_one(rows: Connection, vens: list[list[Sample]]) -> None:
    for samples, (kwh, covered) in zip(vens, await delivered(rows, *vens), strict=True):
        assert (kwh, covered) == pytest.approx(reference(samples), abs=1e-6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(SAMPLES, st.integers(0, 3599))
async def test_repeating_what_was_told_changes_no_energy(rows: Connection, samples: list[Sample], second: int) -> None:
    minute = (second + 0.5) / 60
    before = sorted((s for s in samples if s[0] <= minute and (s[2] != OURS or s[1] is not None)), key=lambda s: s[0])
    held = [s for s in before if s[0] >= -HOLD / 60]
    again = (minute, held[-1][1], held[-1][2]) if held else at(minute, 0.0)
    (once, _), (twice, _) = await delivered(rows, samples, [*samples, again])
    assert once == pytest.approx(twice, abs=1e-9)
