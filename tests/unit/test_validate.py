"""When a VEN counts as heard, by the headers of its message."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.metering import Parsed
from schemas.readings import Reading
from streams.validate import _as_heard, received_at

MEASURED = datetime(2026, 11, 24, 6, tzinfo=UTC)
RECEIVED = MEASURED + timedelta(hours=1)
STAMP = 1_795_500_000_000


def headers(**named: bytes) -> dict[str, bytes]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def parsed(measured: datetime) -> Parsed:
    return Parsed(Reading(ven_id="v", timestamp=measured, received_at=RECEIVED))


@pytest.mark.parametrize(("retain", "heard"), [(b"1", MEASURED), (b"0", RECEIVED), (b"", RECEIVED)])
def test_a_retained_message_was_heard_when_it_was_measured(retain: bytes, heard: datetime) -> None:
    assert _as_heard(parsed(MEASURED), headers(mqtt_retain=retain)).record.received_at == heard


def test_a_retained_message_from_a_clock_ahead_was_heard_when_it_came() -> None:
    ahead = RECEIVED + timedelta(minutes=2)
    assert _as_heard(parsed(ahead), headers(mqtt_retain=b"1")).record.received_at == RECEIVED


@pytest.mark.parametrize("header", [b"", b"soon", b"-1", b"9" * 18, b"9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}".encode()])
def test_a_header_that_is_no_time_is_passed_over(header: bytes) -> None:
    assert received_at(headers(received_at=header), STAMP) == datetime.fromtimestamp(STAMP / 1000, UTC)


def test_the_bridge_says_when_it_received() -> None:
    assert received_at(headers(received_at=b"1795500001234"), STAMP) == datetime.fromtimestamp(1795500001.234, UTC)
