"""How old, and how far in the future, a measurement may be."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from schemas.base.rejection import Reason, Rejection


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The days of retention, counted back from today (UTC), and how far a VEN's clock may be ahead."""

    retention_days: int
    max_future: timedelta

    def first_day(self, now: datetime) -> date:
        """Return the first day of the retention period."""
        return now.astimezone(UTC).date() - timedelta(days=self.retention_days)

    def check(self, measured_at: datetime, now: datetime) -> Rejection | None:
        """Return why a time of measurement is outside the window, or None."""
        # The common case, without any calendar arithmetic.
        if 0 <= (now - measured_at).days < self.retention_days:
            return None
        if measured_at > now + self.max_future:
            return Rejection(Reason.TOO_NEW, f"measured at {measured_at.isoformat()}, which is in the future")
        oldest = datetime.combine(self.first_day(now), time(), UTC)
        if measured_at < oldest:
            kept = f"readings are kept from {oldest.isoformat()} on"
            return Rejection(Reason.TOO_OLD, f"measured at {measured_at.isoformat()}; {kept}")
        return None
