"""Times as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.deadletters.time_argument import parse_moment
from schemas.base.errors import GatewayError

NOW = datetime(2025, 10, 23, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d ago", NOW - timedelta(days=1)),
        ("2 w ago", NOW - timedelta(weeks=2)),
        ("0s", NOW),
        (" 1h ", NOW - timedelta(hours=1)),
        ("2025-10-23", NOW.replace(hour=0)),
        ("2025-10-23T17:00:00Z", NOW.replace(hour=17)),
        ("2025-10-23 17:00", NOW.replace(hour=17)),
        ("2025-10-23T19:00:00+02:00", NOW.replace(hour=17)),
    ],
)
def test_time_is_parsed(text: str, expected: datetime) -> None:
    assert parse_moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "h", "-1h", "1.5h", "1h ago ago", "999999999w", "1y", "2025-02-30", "0001-01-01T00:00:00+14:00"],
)
def test_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(GatewayError, match="a time is like"):
        parse_moment(text, NOW)
