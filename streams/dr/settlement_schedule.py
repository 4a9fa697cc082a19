"""When the figures of a DR event that is over are worked out: soon, and again for samples that came late. No I/O."""

from datetime import datetime, timedelta

FIRST_AFTER = timedelta(seconds=30)
"""How long the last samples may be under way; until then whoever asks has the figures worked out."""
AGAIN_AFTER = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
"""How long after the end; what comes later than the last changes the figures no more."""


def is_due(known_at: datetime, settled_at: datetime | None, now: datetime) -> bool:
    """Tell whether an event that is over is to be settled at `now`.

    `known_at` is when it was over and known, `settled_at` the beginning of the last settlement, None before the first.
    """
    if settled_at is None:
        return now >= known_at + FIRST_AFTER
    return any(settled_at < known_at + after <= now for after in AGAIN_AFTER)
