"""Whether commands told what was left when they were sent: by the bridge's own notes, however busy the machine is."""

from collections.abc import Iterable
from datetime import datetime
from math import ceil

from gateway.reconciliation.command_observer import ObservedCommand
from runtime.database import Connection

_NOTES = "SELECT correlation_id, sending_at, sent_at FROM commands WHERE correlation_id = ANY ($1)"


async def miscounted(rows: Connection, told: Iterable[ObservedCommand], ends_at: float) -> list[str]:
    """Return which commands of an event that ends then told another number of whole seconds, and which.

    A command is noted as `sending` before its seconds are counted, and as `sent` after.
    """
    by_id = {seen.payload["correlationId"]: seen.payload["duration_sec"] for seen in told}
    notes = {row["correlation_id"]: row for row in await rows.fetch(_NOTES, list(by_id))}
    wrong = []
    for correlation_id, seconds in by_id.items():
        note = notes[correlation_id]
        least, most = _left(ends_at, note["sent_at"]), _left(ends_at, note["sending_at"])
        if not least <= seconds <= most:
            wrong.append(f"{correlation_id}: {seconds} s, which is not from {least} to {most}")
    return wrong


def _left(ends_at: float, moment: datetime) -> int:
    return ceil(ends_at - moment.timestamp())
