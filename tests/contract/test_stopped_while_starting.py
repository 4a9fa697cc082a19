"""An event that is stopped or removed in the moment in which the dispatcher starts it."""

import asyncio
from typing import Any

import pytest

from gateway.stack.polling import wait_until
from schemas.dr.event_lifecycle import EventAction, next_action
from streams.dr.event_store import CLOCK, LOCK, STARTED, times_of
from tests.contract.conftest import ContractApi
from tests.support.servers import connection

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.mark.parametrize("how", ["stop", "delete"])
async def test_stopping_while_starting_restores_the_vens(world: ContractApi, how: str) -> None:
    await world.rows(
        "INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw) "
        "VALUES ($1, now() + interval '2 s', now() + interval '1 hour', 5)",
        how,
    )

    async def ask() -> Any:
        path = f"/api/events/{how}"
        return await (world.client.post(f"{path}/stop") if how == "stop" else world.client.delete(path))

    async with connection(world.database) as dispatcher, connection(world.database) as look:
        async with dispatcher.transaction():
            await dispatcher.fetchrow(LOCK, how)
            # Who asks comes before the start, and has to wait until it is over.
            asking = asyncio.create_task(ask())

            async def waits() -> bool:
                return bool(await look.fetchval(WAITING))

            assert await wait_until(waits, 60)
            await dispatcher.execute(STARTED, how)
        assert (await asking).status_code in {202, 204}

        async def to_be_ended() -> bool:
            row = await look.fetchrow(LOCK, how)
            return next_action(times_of(row), await look.fetchval(CLOCK)) is EventAction.END

        assert await wait_until(to_be_ended, 60, every=0.1)
