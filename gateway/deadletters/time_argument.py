"""Times as people type them: ISO 8601, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from schemas.base.errors import GatewayError

_AGO = re.compile(r"(\d{1,9}) ?([smhdw])( ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the time that is meant, UTC where no zone is given.

    Raises:
        GatewayError: it is none.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise GatewayError(f"a time is like 2025-10-23T18:00:00Z, 30m, 2h or '1d ago', not {text!r}") from None
