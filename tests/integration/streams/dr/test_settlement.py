"""Events that are over are settled once, and again for samples that came late; whoever does it, and however often."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from runtime.database import Connection
from schemas.settings.blocks import DatabaseSettings
from streams.dr import settlement_store
from streams.dr.settlement import Settlement
from streams.dr.settlement_schedule import FIRST_AFTER
from streams.store.database import database as open_database
from streams.store.leader_lock import TRY_LOCK
from tests.support.command_rows import choose
from tests.support.readings import NOON, Stores, reading, stores

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
END = NOON + HOUR
SOON = END + FIRST_AFTER
HOLD = 3600.0


class SettlementDb(NamedTuple):
    """A sink worker's stores, a settlement beside it, and the test's own look."""

    store: Stores
    settlement: Settlement
    rows: Connection

    async def event(self, event_id: str = "evt-1", **columns: Any) -> None:
        """An event from noon to one, by default closed at its end."""
        values = {"created_at": NOON - HOUR, "closed_at": END, **columns}
        await self.rows.execute(
            "INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw) VALUES ($1, $2, $3, 5)",
            event_id,
            NOON,
            END,
        )
        for name, value in values.items():
            await self.rows.execute(
                f"UPDATE events SET {name} = $2 WHERE event_id = $1",  # noqa: S608 - our own
                event_id,
                value,
            )

    async def says(self, ven_id: str, minute: float, kw: float, event_id: str | None = "evt-1") -> None:
        moment = NOON + minute * MINUTE
        await self.store.readings.store(
            [reading(ven_id, timestamp=moment, received_at=moment, shed_power_kw=kw, event_id=event_id)]
        )

    async def figures(self, event_id: str = "evt-1") -> tuple[Any, Any]:
        row = await self.rows.fetchrow("SELECT * FROM events WHERE event_id = $1", event_id)
        assert row is not None
        return row["actual_reduction_kw"], row["settled_at"]

    async def energies(self, event_id: str = "evt-1") -> dict[str, Any]:
        found = await self.rows.fetch("SELECT * FROM event_vens WHERE event_id = $1", event_id)
        return {row["ven_id"]: (row["energy_kwh"], row["covered_seconds"], row["reason"]) for row in found}


@pytest_asyncio.fixture
async def books(database: DatabaseSettings, rows: Connection) -> AsyncIterator[SettlementDb]:
    async with stores(database) as store, open_database(database, "test-settlement") as beside:
        yield SettlementDb(store, Settlement(beside, HOLD), rows)


async def test_an_event_is_settled_with_all_its_vens(books: SettlementDb) -> None:
    await books.event()
    for ven_id in ("chosen", "mute"):
        await choose(books.rows, "evt-1", ven_id, 2.0)
    await books.says("mute", -30, 0.0, None)
    await books.says("chosen", 0, 4.0)
    await books.says("chosen", 30, 0.0, None)
    await books.says("by-itself", 45, 2.0)
    await books.says("elsewhere", 10, 9.0, "evt-2")
    await books.settlement.step(SOON)
    assert await books.figures() == (pytest.approx(2.5), SOON)
    assert await books.energies() == {
        "chosen": (pytest.approx(2.0), 3600.0, "equal"),
        "mute": (0.0, 1800.0, "equal"),
        "by-itself": (pytest.approx(0.5), 900.0, "reported"),
    }


async def test_one_that_was_stopped_is_settled_to_its_end(books: SettlementDb) -> None:
    await books.event(ended_at=NOON + 30 * MINUTE, closed_at=NOON + 30 * MINUTE)
    await books.says("ven", 0, 4.0)
    await books.settlement.step(NOON + 31 * MINUTE)
    assert await books.figures() == (pytest.approx(4.0), NOON + 31 * MINUTE)
    assert (await books.energies())["ven"][0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "columns",
    [
        {"closed_at": None},
        {"cancelled_at": NOON - MINUTE},
        {"deleted_at": NOON + MINUTE},
    ],
    ids=str,
)
async def test_what_is_open_or_of_no_interest_is_not_settled(books: SettlementDb, columns: dict[str, Any]) -> None:
    await books.event(**columns)
    await books.says("ven", 0, 4.0)
    await books.settlement.step(END + HOUR)
    assert await books.figures() == (None, None)
    assert await books.energies() == {}


async def test_late_samples_are_taken_in_at_their_times_and_no_more_after_a_day(books: SettlementDb) -> None:
    await books.event()
    expected = 0.0
    looks = (0.4, False), (0.5, True), (0.9, False), (1, True), (5, False), (10, True), (50, False), (61, True)
    for minutes, again in (*looks, (1439, False), (1440, True)):
        await books.says(f"late-{minutes}", 0, 1.0)
        await books.settlement.step(END + minutes * MINUTE)
        kw, settled_at = await books.figures()
        if again:
            expected = float(await books.rows.fetchval("SELECT count(*) FROM telemetry_readings"))
            assert settled_at == END + minutes * MINUTE
        assert (kw or 0.0) == pytest.approx(expected), minutes
    await books.says("too-late", 0, 1.0)
    await books.settlement.step(END + timedelta(days=40))
    assert (await books.figures())[0] == pytest.approx(expected)


async def test_an_event_of_the_past_is_waited_for_from_when_it_became_known(books: SettlementDb) -> None:
    await books.event(created_at=END + timedelta(days=3), closed_at=END + timedelta(days=3))
    await books.settlement.step(END + timedelta(days=3))
    await books.says("ven", 0, 1.0)
    await books.settlement.step(END + timedelta(days=3) + 11 * MINUTE)
    assert (await books.figures())[0] == pytest.approx(1.0)


async def test_a_large_event_is_settled_in_pieces_and_goes_on_after_a_crash(
    books: SettlementDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    await books.event()
    moment = NOON
    homes = [f"ven-{number:03}" for number in range(250)]
    await books.store.readings.store(
        [reading(home, timestamp=moment, received_at=moment, shed_power_kw=2.0, event_id="evt-1") for home in homes]
    )
    keep, pieces = settlement_store.store_delivered, list[int]()

    async def keep_two(*args: object, **given: object) -> None:
        pieces.append(len(given["ven_ids"]))  # type: ignore[arg-type]
        if len(pieces) == 3:
            raise KeyboardInterrupt
        await keep(*args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(settlement_store, "store_delivered", keep_two)
    with pytest.raises(KeyboardInterrupt):
        await books.settlement.step(SOON)
    assert pieces == [100, 100, 50]
    assert len(await books.energies()) == 200
    assert await books.figures() == (None, None)  # not before all of it is
    await books.settlement.step(SOON)
    assert await books.figures() == (pytest.approx(500.0), SOON)
    assert len(await books.energies()) == 250


async def test_one_worker_at_a_time(
    books: SettlementDb, database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    await books.event()
    await books.says("ven", 0, 4.0)
    async with books.rows.transaction():
        await books.rows.execute(TRY_LOCK, "settlement")
        await books.settlement.step(SOON)
        assert await books.figures() == (None, None)
    with caplog.at_level(logging.INFO, "streams.dr.settlement"):
        async with open_database(database, "test-other") as other:
            await asyncio.gather(books.settlement.step(SOON), Settlement(other, HOLD).step(SOON))
    await books.settlement.step(SOON)
    assert await books.figures() == (pytest.approx(4.0), SOON)
    assert await books.energies() == {"ven": (pytest.approx(4.0), 3600.0, "reported")}


async def test_a_ven_that_was_deleted_is_not_brought_back(books: SettlementDb) -> None:
    await books.event()
    await books.says("gone", 0, 4.0)
    await books.rows.execute("DELETE FROM vens WHERE ven_id = 'gone'")
    await books.settlement.step(SOON)
    assert await books.energies() == {}
    assert await books.figures() == (0.0, SOON)


async def test_it_goes_by_the_clock_of_the_database(books: SettlementDb) -> None:
    await books.event()
    await books.settlement.step()
    settled_at = (await books.figures())[1]
    assert settled_at is not None
    assert abs(settled_at - await books.rows.fetchval("SELECT now()")) < MINUTE
