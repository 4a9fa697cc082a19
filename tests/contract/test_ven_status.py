"""How far a VEN got in an event, by its command, its restore, and whether it sheds for the event."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from tests.contract.test_command_state import REFUSED, Steps, state_of, steps
from tests.support.servers import Databases, connect

NOW = datetime.now(UTC)
EVENT = """
INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw)
VALUES ('e', now() - interval '1 hour', now() + interval '1 hour', 1)
"""
STATUS = "SELECT ven_id, status FROM event_ven_progress('{e}')"
SENT: Steps = {"logged_at": NOW, "sending_at": NOW, "sent_at": NOW}
ACCEPTED: Steps = {**SENT, "acked_at": NOW, "ack_status": "accepted"}
REPORTED: Steps = {**ACCEPTED, "reported_at": NOW, "shed_at": NOW}
LOST: Steps = {**REPORTED, "lost_at": NOW + timedelta(seconds=9)}
REFUSAL: Steps = {**SENT, "acked_at": NOW, "ack_status": "rejected"}
UNANSWERED: Steps = {**SENT, "unanswered_at": NOW}
CONFIRMED: Steps = {**SENT, "acked_at": NOW, "ack_status": "success"}
NOTHING: Steps = {}

Case = tuple[Steps | None, Steps | None, bool]
"""The steps of a VEN's command and of its restore, None without one, and whether it sheds."""


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


async def statuses(rows: Connection, *cases: Case) -> list[str]:
    """Return the status of a VEN for each of the cases, all in one active event that names them."""
    transaction = rows.transaction()
    await transaction.start()
    try:
        await rows.execute(EVENT)
        for number, (command, restore, sheds) in enumerate(cases):
            ven_id = f"ven-{number}"
            await rows.execute("UPDATE events SET ven_ids = array_append(ven_ids, $1)", ven_id)
            for op, known in (("event", command), ("restore", restore)):
                if known is not None:
                    await _insert(rows, ven_id, op, known)
            if sheds:
                await rows.execute(
                    "INSERT INTO ven_status (ven_id, received_at, event_id, event_at, shed_event_id, shed_power_kw, "
                    "shed_power_at) VALUES ($1, now(), 'e', now(), 'e', 1, now())",
                    ven_id,
                )
        found = {row["ven_id"]: row["status"] for row in await rows.fetch(STATUS)}
        return [found[f"ven-{number}"] for number in range(len(cases))]
    finally:
        await transaction.rollback()


async def _insert(rows: Connection, ven_id: str, op: str, known: Steps) -> None:
    values = {"correlation_id": f"{op}-{ven_id}", "ven_id": ven_id, "op": op, "phase": op, "event_id": "e", **known}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await rows.execute(
        f"INSERT INTO commands ({', '.join(values)}, payload) VALUES ({places}, '{{}}')",  # noqa: S608 - our own names
        *values.values(),
    )


@pytest.mark.parametrize(
    ("command", "restore", "status"),
    [
        (None, None, "targeted"),
        (NOTHING, None, "targeted"),
        (SENT, None, "sent"),
        (ACCEPTED, None, "accepted"),
        (ACCEPTED, SENT, "accepted"),
        (ACCEPTED, CONFIRMED, "restored"),
        (ACCEPTED, {**SENT, "reported_at": NOW}, "restored"),  # silent, but its samples show it
        (REPORTED, SENT, "accepted"),
        (REPORTED, CONFIRMED, "restored"),
        (REFUSAL, None, "refused"),
        (REFUSAL, CONFIRMED, "refused"),  # a device with nothing active answers a restore with success as well
        (UNANSWERED, CONFIRMED, "unanswered"),
        (UNANSWERED, UNANSWERED, "unanswered"),
        ({"expired_at": NOW}, None, "expired"),
        ({**SENT, "expired_at": NOW}, None, "sent"),
        ({**ACCEPTED, "lost_at": NOW}, None, "lost"),
        (LOST, None, "lost"),
        (LOST, CONFIRMED, "lost"),
    ],
)
async def test_status_without_a_shed(
    rows: Connection, command: Steps | None, restore: Steps | None, status: str
) -> None:
    assert await statuses(rows, (command, restore, False)) == [status]


@pytest.mark.parametrize("command", [None, SENT, REPORTED, LOST])
async def test_a_ven_that_sheds_is_shedding_until_it_is_restored(rows: Connection, command: Steps | None) -> None:
    assert await statuses(rows, (command, None, True)) == ["shedding"]


CASES = st.lists(st.tuples(st.none() | steps(), st.none() | steps()), min_size=1, max_size=8)
few = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@few
@given(CASES)
async def test_shedding_and_restored_count_before_all_else(
    rows: Connection, cases: list[tuple[Steps | None, Steps | None]]
) -> None:
    found = await statuses(rows, *((command, restore, True) for command, restore in cases))
    assert set(found) <= {"shedding", "restored"}
    without = await statuses(rows, *((command, restore, False) for command, restore in cases))
    assert "shedding" not in without
    for (command, restore), status in zip(cases, without, strict=True):
        if restore is None:
            assert status != "restored"
        if command is None:
            assert status == "targeted"


@few
@given(st.lists(steps(), min_size=1, max_size=8))
async def test_status_is_the_state_of_the_command_unless_the_event_was_lost(
    rows: Connection, commands: list[Steps]
) -> None:
    same = {"acknowledged": "accepted", "decided": "targeted", "logged": "targeted", "sending": "targeted"}
    found = await statuses(rows, *((command, None, False) for command in commands))
    for command, status in zip(commands, found, strict=True):
        state = await state_of(rows, command)
        assert status == ("lost" if command["lost_at"] is not None else same.get(state, state))


async def ack(rows: Connection, ven_id: str, status: str, **columns: Any) -> None:
    """Store an ack of the event from a VEN that has no command of it."""
    values = {"ven_id": ven_id, "op": "event", "correlation_id": "", "status": status, "event_id": "e", **columns}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await rows.execute(
        f"INSERT INTO ven_acks ({', '.join(values)}, time, received_at, circuits) "  # noqa: S608 - our own names
        f"VALUES ({places}, clock_timestamp(), now(), '[]')",
        *values.values(),
    )


@pytest.mark.parametrize(
    ("words", "status", "responding"),
    [
        (["accepted"], "accepted", 1),
        ([REFUSED[0]], "refused", 0),
        ([REFUSED[0], "success"], "accepted", 1),
        (["success", REFUSED[0]], "accepted", 1),
    ],
)
async def test_an_ack_without_a_command_counts_as_a_response_only(
    rows: Connection, words: list[str], status: str, responding: int
) -> None:
    transaction = rows.transaction()
    await transaction.start()
    try:
        await rows.execute(EVENT)
        for word in words:
            await ack(rows, "by-itself", word)
        assert [tuple(row) for row in await rows.fetch(STATUS)] == [("by-itself", status)]
        (totals,) = await rows.fetch("SELECT * FROM event_progress('{e}')")
        assert (totals["responding"], totals["targeted"], totals["acknowledged"], totals["refused"]) == (
            responding, 0, 0, 0
        )  # fmt: skip
    finally:
        await transaction.rollback()
