"""Rows as the dispatcher writes them, with the evidence that a test wants."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.database import Connection

COLUMNS = "correlation_id, ven_id, op, event_id, payload, phase, command_revision, created_at, expires_at, ends_at"


async def tell(
    rows: Connection,
    event_id: str,
    ven_id: str,
    *,
    phase: str = "event",
    command_revision: int = 1,
    decided_at: datetime | None = None,
    ends_at: datetime | None = None,
    correlation_id: str = "",
    payload: dict[str, Any] | None = None,
    **known: Any,
) -> str:
    """Write a command of an event, and what is known of it: columns of `commands`; a number is seconds later."""
    decided = decided_at or datetime.now(UTC)
    op = "restore" if phase == "restore" else "event"
    correlation_id = correlation_id or f"{op}-{event_id}-{ven_id}-{command_revision}"
    payload = payload or {"op": op, "correlationId": correlation_id, "venId": ven_id, "event_id": event_id}
    await rows.execute(
        f"INSERT INTO commands ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",  # noqa: S608 - our own
        correlation_id,
        ven_id,
        op,
        event_id,
        json.dumps(payload),
        phase,
        command_revision,
        decided,
        ends_at or decided + timedelta(hours=1),
    )
    for name, value in known.items():
        moment = decided + timedelta(seconds=value) if isinstance(value, int | float) else value
        await rows.execute(
            f"UPDATE commands SET {name} = $2 WHERE correlation_id = $1",  # noqa: S608 - our own
            correlation_id,
            moment,
        )
    return correlation_id


async def choose(
    rows: Connection,
    event_id: str,
    ven_id: str,
    share_kw: float | None,
    reason: str = "equal",
    *,
    capability_kw: float | None = None,
    late: bool = False,
) -> None:
    """Let a VEN take part in an event."""
    await rows.execute(
        "INSERT INTO event_vens (event_id, ven_id, share_kw, capability_kw, reason, late) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        event_id,
        ven_id,
        share_kw,
        capability_kw,
        reason,
        late,
    )
