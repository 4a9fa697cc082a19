"""Buckets and listed loads as REST shows them."""

from collections.abc import Iterable
from typing import Any

from schemas.rest.history import History, LoadSnapshotRow, TimeseriesPoint


def history_view(rows: Iterable[Any]) -> History:
    """Show rows of buckets."""
    return History(points=[TimeseriesPoint(**row) for row in rows])


def listed_load_view(row: Any) -> LoadSnapshotRow:
    """Show a load as a reading or a load snapshot listed it."""
    return LoadSnapshotRow(
        timestamp=row["time"],
        load_id=row["load_id"],
        name=row["name"] or row["load_id"],
        type=row["type"] or "other",
        capacity_kw=row["capacity_kw"],
        current_power_kw=row["current_power_kw"],
        shed_capability_kw=row["shed_capability_kw"],
        enabled=row["enabled"],
        priority=row["priority"],
    )
