"""When a completed DR event is settled: soon after its end, and again for late samples. No I/O."""

from datetime import datetime, timedelta

FIRST_AFTER = timedelta(seconds=30)
"""The last samples may arrive for so long; until then the API computes the energies when asked."""
AGAIN_AFTER = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
"""The later settlements, after the end. Samples that arrive after the last one change nothing."""


def is_due(known_at: datetime, settled_at: datetime | None, now: datetime) -> bool:
    """Tell whether an event that is over is to be settled at `now`.

    `known_at` is when it was over and known, `settled_at` the beginning of the last settlement, None before the first.
    """
    if settled_at is None:
        return now >= known_at + FIRST_AFTER
    return any(settled_at < known_at + after <= now for after in AGAIN_AFTER)
