"""The state of a command, whatever the order in which evidence arrives, and however often."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from tests.support.servers import Databases, connect

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
STEPS = (
    "logged_at",
    "sending_at",
    "sent_at",
    "expired_at",
    "acked_at",
    "unanswered_at",
    "reported_at",
    "shed_at",
    "lost_at",
)
GOOD = ("accepted", "success")
REFUSED = ("failed", "rejected")
STATE = "SELECT command_state(jsonb_populate_record(NULL::commands, $1))"
Steps = dict[str, Any]


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


MOMENTS = st.integers(0, 5).map(at)
many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    known: Steps = {name: draw(st.none() | MOMENTS) for name in STEPS}
    return {**known, "ack_status": None if known["acked_at"] is None else draw(st.sampled_from(GOOD + REFUSED))}


@pytest_asyncio.fixture(scope="module")
async def rows(databases: Databases) -> AsyncIterator[Connection]:
    opened = await connect(await databases.migrated())
    yield opened
    await opened.close()


async def state_of(rows: Connection, known: Steps) -> str:
    state: str = await rows.fetchval(STATE, json.dumps(known, default=datetime.isoformat))
    return state


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ((), "decided"),
        (("logged_at",), "logged"),
        (("sending_at",), "sending"),
        (("logged_at", "sending_at"), "sending"),
        (("sent_at",), "sent"),
        (("reported_at",), "sent"),
        (("sent_at", "unanswered_at"), "unanswered"),
        (("logged_at", "expired_at"), "expired"),
        (("sending_at", "expired_at"), "sending"),
        (("sent_at", "expired_at", "unanswered_at"), "unanswered"),
        (("sent_at", "acked_at", "unanswered_at"), "sent"),
    ],
)
async def test_state_follows_from_the_known_steps(rows: Connection, known: tuple[str, ...], state: str) -> None:
    assert await state_of(rows, {name: at(1) for name in known}) == state


@pytest.mark.parametrize(
    ("word", "state"), [*((word, "acknowledged") for word in GOOD), *((word, "refused") for word in REFUSED)]
)
async def test_good_acks_acknowledge_and_others_refuse(rows: Connection, word: str, state: str) -> None:
    assert await state_of(rows, {"acked_at": at(1), "ack_status": word}) == state


@many
@given(steps())
async def test_an_ack_counts_before_all_other_steps(rows: Connection, known: Steps) -> None:
    state = await state_of(rows, known)
    assert (state in {"acknowledged", "refused"}) == (known["acked_at"] is not None)
    if known["acked_at"] is not None:
        assert (state == "acknowledged") == (known["ack_status"] in GOOD)


@many
@given(steps())
async def test_no_step_contradicts_the_state(rows: Connection, known: Steps) -> None:
    state = await state_of(rows, known)
    if state == "expired":
        assert known["expired_at"] is not None
        # A command that may have reached the VEN is never shown as not sent.
        assert not any(known[name] for name in ("sending_at", "sent_at", "acked_at", "reported_at"))
    if state == "unanswered":
        assert known["unanswered_at"] is not None
    if state == "sent":
        assert known["sent_at"] is not None or known["reported_at"] is not None
    if state in {"decided", "logged", "sending"}:
        assert not any(known[name] for name in ("acked_at", "sent_at", "reported_at", "unanswered_at"))
    if state in {"decided", "logged"}:
        assert known["sending_at"] is None
        assert (state == "logged") == (known["logged_at"] is not None)


@many
@given(steps(), MOMENTS)
async def test_a_late_ack_still_counts(rows: Connection, known: Steps, moment: datetime) -> None:
    late = {**known, "unanswered_at": moment, "acked_at": moment, "ack_status": "accepted"}
    assert await state_of(rows, late) == "acknowledged"
