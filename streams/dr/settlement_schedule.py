"""When a completed DR event is settled: soon after its end, and again for late samples. No I/O."""

from datetime import datetime, timedelta

FIRST_AFTER = timedelta(seconds=30)
"""The last samples may arrive for so long; until then the API computes the energies when asked."""
AGAIN_AFTER = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
"""The later settlements, after the end. Samples that arrive after the last one change nothing."""


def is_due(settle_from: datetime, settled_at: datetime | None, now: datetime) -> bool:
    """Tell whether an event that is over is to be settled at `now`.

    `settle_from` is when it was over and stored, `settled_at` when the last settlement began, None before the first.
    """
    if settled_at is None:
        return now >= settle_from + FIRST_AFTER
    return any(settled_at < settle_from + after <= now for after in AGAIN_AFTER)
