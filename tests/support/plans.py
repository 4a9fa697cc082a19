"""What PostgreSQL means to do for the queries of the API: each is explained, and then asked as always."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from runtime.database import Connection

_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Scan(NamedTuple):
    """One read of one table, or of one partition."""

    how: str
    table: str


class Explaining(Connection):
    """A connection that notes the plan of every query; `plans` are of all connections."""

    plans: list[Any] = []  # noqa: RUF012 - shared on purpose

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        await self._explain(query, args)
        return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        await self._explain(query, args)
        return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        await self._explain(query, args)
        return await super().fetchval(query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        if args:
            await self._explain(query, args)
        return await super().execute(query, *args, **options)

    async def _explain(self, query: str, args: Sequence[Any]) -> None:
        if query.lstrip().startswith(_EXPLAINED):
            self.plans.append(json.loads(await super().fetchval(f"EXPLAIN (FORMAT JSON) {query}", *args)))


def scans(plan: Any) -> Iterator[Scan]:
    """Return how a plan reads each table."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part)
    elif isinstance(plan, dict):
        if "Relation Name" in plan and "Scan" in plan.get("Node Type", ""):
            yield Scan(plan["Node Type"], plan["Relation Name"])
        for value in plan.values():
            if isinstance(value, dict | list):
                yield from scans(value)
