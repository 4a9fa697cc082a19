"""When a VEN counts as heard, by the headers of its message."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.metering import Parsed
from schemas.readings import Reading
from streams.validate import _as_heard, received_at

MEASURED = datetime(2026, 11, 24, 6, tzinfo=UTC)
RECEIVED = MEASURED + timedelta(hours=1)
STAMP = 1_795_500_000_000


def record(**headers: bytes) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(headers=tuple(names.items()), timestamp=STAMP)


def parsed(measured: datetime) -> Parsed:
    return Parsed(Reading(ven_id="v", timestamp=measured, received_at=RECEIVED))


@pytest.mark.parametrize(("retain", "heard"), [(b"1", MEASURED), (b"0", RECEIVED), (b"", RECEIVED)])
def test_a_retained_message_was_heard_when_it_was_measured(retain: bytes, heard: datetime) -> None:
    assert _as_heard(parsed(MEASURED), record(mqtt_retain=retain)).record.received_at == heard


def test_a_retained_message_from_a_clock_ahead_was_heard_when_it_came() -> None:
    ahead = RECEIVED + timedelta(minutes=2)
    assert _as_heard(parsed(ahead), record(mqtt_retain=b"1")).record.received_at == RECEIVED


@pytest.mark.parametrize("header", [b"", b"soon", b"-1", b"9" * 18, b"9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}".encode()])
def test_a_header_that_is_no_time_is_passed_over(header: bytes) -> None:
    assert received_at(record(received_at=header)) == datetime.fromtimestamp(STAMP / 1000, UTC)


def test_the_bridge_says_when_it_received() -> None:
    assert received_at(record(received_at=b"1795500001234")) == datetime.fromtimestamp(1795500001.234, UTC)
