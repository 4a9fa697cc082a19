"""Parses times as people type them: ISO 8601, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from schemas.base.errors import GatewayError

_AGO = re.compile(r"(\d{1,9}) ?([smhdw])( ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the time in UTC; a text without a zone is UTC.

    Raises:
        GatewayError: the text is no time.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise GatewayError(f"{text!r} is no time; write it as 2025-10-23T18:00:00Z, 30m, 2h or '1d ago'") from None
