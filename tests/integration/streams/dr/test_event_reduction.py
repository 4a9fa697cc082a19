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
from schemas.records.telemetry import Reading
from streams.store.ven_status import record_readings
from tests.support.readings import NOON
from tests.support.servers import Databases, connect

HOUR = NOON + timedelta(hours=1)
HOLD = 1200.0
NUMBERS = count(1)
OURS, OTHER = "evt-1", "evt-2"

Sample = tuple[float, float | None, str | None, float]
"""At which minute by its clock a VEN said what it shed (kW), for which event, and how many minutes the clock is off."""


def at(minute: float, kw: float | None, event_id: str | None = OURS, skew: float = 0) -> Sample:
    return minute, kw, event_id, skew


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


async def store(rows: Connection, *vens: Sequence[Sample]) -> list[str]:
    """Store the samples of so many VENs; return their ids."""
    names = [f"ven-{next(NUMBERS)}" for _ in vens]
    readings = [
        Reading(
            ven_id=name,
            timestamp=NOON + timedelta(minutes=minute),
            received_at=NOON + timedelta(minutes=minute + skew),
            shed_power_kw=kw,
            event_id=event_id,
            battery_soc=0.5,
            clock_skew_seconds=skew * 60,
        )
        for name, samples in zip(names, vens, strict=True)
        for minute, kw, event_id, skew in samples
    ]
    await rows.executemany(
        "INSERT INTO telemetry_readings (ven_id, time, received_at, shed_power_kw, event_id, clock_skew_seconds) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (r.ven_id, r.timestamp, r.received_at, r.shed_power_kw, r.event_id, r.clock_skew_seconds or None)
            for r in readings
        ],
    )
    # In any order: here from the last to the first.
    for reading in reversed(readings):
        await record_readings(rows, [reading])
    return names


async def delivered(rows: Connection, *vens: Sequence[Sample]) -> list[tuple[float, float]]:
    """What the statement says of so many VENs, asked at once: kWh, and seconds that samples cover."""
    names = await store(rows, *vens)
    found = {row["ven_id"]: row for row in await rows.fetch(DELIVERED, OURS, names, NOON, HOUR, HOLD)}
    return [(found[name]["energy_kwh"], found[name]["covered_seconds"]) for name in names]


@pytest.mark.parametrize(
    ("samples", "kwh", "minutes"),
    [
        ([], 0.0, 0),
        ([at(0, 4.0)], 4 / 3, 20),
        ([at(30, 4.0)], 4 / 3, 20),  # nothing was shed before
        ([at(0, 4.0), at(30, 0.0)], 4 / 3, 40),
        ([at(0, 4.0), at(15, 0.0)], 1.0, 35),
        ([at(0, 4.0), *(at(15 + n / 100, 0.0) for n in range(1000))], 1.0, 44.99),  # many samples weigh nothing
        ([at(0, 4.0), at(0.5, 8.0), at(1, 0.0)], 0.1, 21),  # a sample covers to the next one only
        ([at(-0.5, 4.0)], 1.3, 19.5),  # told just before, and held
        ([at(-0.9, 8.0), at(-0.5, 4.0)], 1.3, 19.5),
        ([at(-25, 4.0)], 0.0, 0),
        ([at(45, 4.0), at(60, 100.0), at(90, 100.0)], 1.0, 15),  # the end is not in it
        ([at(59.5, 6.0)], 0.05, 0.5),
        ([at(0, -1.0)], -1 / 3, 20),
        ([at(0, 5e-324), at(30, 4.0)], 4 / 3, 40),  # the smallest number there is
        ([at(0, 4.0), at(15, 8.0, OTHER), at(30, 4.0)], 7 / 3, 50),  # another event's is none of ours
        ([at(0, 4.0), at(15, 8.0, None)], 1.0, 35),
        ([at(0, 4.0), at(15, None)], 4 / 3, 20),  # says nothing of what is shed
        ([at(0, 4.0), at(15, None, None)], 4 / 3, 20),  # nor does a partial sample
        ([at(240, 4.0, skew=-240), at(255, 0.0, skew=-240)], 1.0, 35),  # a clock that is four hours ahead
        ([at(-300, 4.0, skew=300), at(-285, 0.0, skew=300)], 1.0, 35),  # and one that is five hours behind
        ([at(-300, 4.0, skew=300), at(10, 4.0), at(15, 0.0)], 1.0, 35),  # one that is corrected in mid-event
    ],
)
async def test_samples_hold_until_the_next(rows: Connection, samples: list[Sample], kwh: float, minutes: float) -> None:
    (found,) = await delivered(rows, samples)
    assert found == pytest.approx((kwh, minutes * 60))


async def test_an_event_without_a_length_has_nothing(rows: Connection) -> None:
    (row,) = await rows.fetch(DELIVERED, OURS, ["nobody"], NOON, NOON, HOLD)
    assert tuple(row) == ("nobody", 0.0, 0.0)
    assert await rows.fetch(DELIVERED, OURS, [], NOON, HOUR, HOLD) == []


def statements(samples: Sequence[Sample]) -> list[tuple[float, float | None, str | None]]:
    """What the samples say of the shedding, in the order of the gateway's time in minutes."""
    told = [
        (minute + skew, minute, kw, event_id)
        for minute, kw, event_id, skew in samples
        if kw is not None or event_id is not None
    ]
    return [(minute, kw, event_id) for minute, _, kw, event_id in sorted(told, key=lambda each: each[:2])]


def reference(samples: Sequence[Sample]) -> tuple[float, float]:
    """The same, sample by sample."""
    told = [
        (minute * 60, 0.0 if event_id != OURS or kw is None else kw)
        for minute, kw, event_id in statements(samples)
        if -HOLD / 60 <= minute < 60 and (event_id != OURS or kw is not None)
    ]
    kws = covered = 0.0
    for (since, kw), (next_one, _) in pairwise([*told, (3600.0, 0.0)]):
        until = min(next_one, since + HOLD)
        held = max(0.0, until - max(0.0, since))
        kws += kw * held
        covered += held
    return kws / 3600, covered


SAMPLES = st.builds(
    lambda samples, skews, corrected_at: [
        (minute, kw, event_id, skews[minute > corrected_at]) for minute, kw, event_id in samples
    ],
    st.lists(
        st.tuples(
            # Whole seconds: no two samples of a VEN are of the same time.
            st.integers(-1500, 3800).map(lambda second: second / 60),
            st.none() | st.floats(-100, 100),
            st.sampled_from([OURS, OURS, OTHER, None]),
        ),
        max_size=30,
        unique_by=lambda sample: sample[0],
    ),
    # Half seconds, so that no two corrected times are equal.
    st.sampled_from([(0, 0), (0, 0), (-4 - 1 / 120, -4 - 1 / 120), (300 + 1 / 120, 0), (-4 - 1 / 120, 0)]),
    st.integers(-10, 70),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(SAMPLES, min_size=1, max_size=4))
async def test_it_is_what_the_samples_come_to_one_by_one(rows: Connection, vens: list[list[Sample]]) -> None:
    for samples, (kwh, covered) in zip(vens, await delivered(rows, *vens), strict=True):
        assert (kwh, covered) == pytest.approx(reference(samples), abs=1e-6)


def names_a_shed(samples: Sequence[Sample]) -> bool:
    return any(kw is not None for _, kw, _, _ in samples)


LATEST = """
SELECT CASE WHEN event_id = $2 AND shed_event_id = event_id THEN shed_power_kw ELSE 0 END AS kw, shed_power_at
FROM ven_status WHERE ven_id = $1
"""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(SAMPLES.map(lambda samples: [s for s in samples if s[1] is not None or s[2] != OTHER]).filter(names_a_shed))
async def test_the_live_shed_is_what_the_settlement_counts(rows: Connection, samples: list[Sample]) -> None:
    [ven_id] = await store(rows, samples)
    live = await rows.fetchrow(LATEST, ven_id, OURS)
    assert live is not None
    moment = live["shed_power_at"]
    settled = await rows.fetchrow(DELIVERED, OURS, [ven_id], moment, moment + timedelta(hours=1 / 60), HOLD)
    assert settled is not None
    assert settled["energy_kwh"] * 60 == pytest.approx(live["kw"], abs=1e-6)
