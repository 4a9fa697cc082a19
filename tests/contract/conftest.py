"""The API before a real database, with what VENs sent in it, for the tests of a module."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.services import ven_erasure
from schemas.parsing.acks import Ack, Curtailment
from schemas.settings.blocks import DatabaseSettings
from streams.dr.ack_store import AckStore
from tests.support.readings import Stores, stores
from tests.support.rest import api
from tests.support.servers import Databases, connection


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each of schemathesis' tests an id of its own: a parallel run takes those with the same one for one test."""
    if not item.nodeid.endswith(item.name) and item.name.startswith(item.nodeid.rpartition("::")[2]):
        item._id = item.id.parse(f"{item.nodeid.rpartition('::')[0]}::{item.name}")


class ContractApi:
    """The API as a client has it, and the other side: what the sink stores, and the tables."""

    def __init__(self, client: httpx.AsyncClient, store: Stores, database: DatabaseSettings) -> None:
        self.client = client
        self.store = store
        self.acks = AckStore(store.database, store.partitions)
        self.database = database

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, expected: int = 201, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.post(path, json=body, headers=named)
        assert answer.status_code == expected, answer.text
        return answer.json()

    async def new_ven(self, ven_id: str, **fields: Any) -> Any:
        body = {"name": f"Home {ven_id}", "location": {"lat": 37.42, "lon": -122.08}, "registrationId": ven_id}
        return await self.post("/api/vens", {**body, **fields})

    async def rows(self, query: str, *values: Any) -> list[Any]:
        async with connection(self.database) as opened:
            return await opened.fetch(query, *values)

    async def answer(
        self, ven_id: str, after: timedelta = timedelta(0), *, at: datetime | None = None, **fields: Any
    ) -> Ack:
        """Let a VEN acknowledge something, so long after now, or at a moment."""
        moment = datetime.now(UTC) + after if at is None else at
        given: dict[str, Any] = {"ven_id": ven_id, "timestamp": moment, "received_at": moment, "op": "event"}
        ack = Ack(**{**given, **fields})
        await self.acks.store([ack])
        return ack


CURTAILED = Curtailment(
    id="ev1", name="EV", breaker_amps=None, original_kw=None, curtailed_kw=1.5, final_kw=None, critical=False
)


@pytest_asyncio.fixture(scope="module")
async def world(databases: Databases) -> AsyncIterator[ContractApi]:
    settings = await databases.migrated()
    with pytest.MonkeyPatch.context() as patch:
        # What a request erases is gone when it is answered, also on a busy machine.
        patch.setattr(ven_erasure, "REQUEST_SECONDS", 60.0)
        async with stores(settings) as store, api(settings, energy_hold_seconds=3600) as client:
            yield ContractApi(client, store, settings)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)
