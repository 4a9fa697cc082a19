"""When a VEN counts as heard, by the headers of its message."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from streams.validate.validator import received_at

MEASURED = datetime(2026, 11, 24, 6, tzinfo=UTC)
RECEIVED = MEASURED + timedelta(hours=1)
STAMP = 1_795_500_000_000


def headers(**named: bytes) -> dict[str, bytes]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def heard_at(measured: datetime, *, retained: bool) -> datetime:
    payload = json.dumps({"venId": "v", "timestamp": measured.isoformat()}).encode()
    outcome = parse(Kind.METERING, payload, Source("volttron/metering", RECEIVED, retained))
    assert isinstance(outcome, Parsed)
    heard: datetime = outcome.record.received_at
    return heard


@pytest.mark.parametrize(("retained", "heard"), [(True, MEASURED), (False, RECEIVED)])
def test_a_retained_message_was_heard_when_it_was_measured(retained: bool, heard: datetime) -> None:  # noqa: FBT001
    assert heard_at(MEASURED, retained=retained) == heard


def test_a_retained_message_from_a_clock_ahead_was_heard_when_it_came() -> None:
    assert heard_at(RECEIVED + timedelta(minutes=2), retained=True) == RECEIVED


@pytest.mark.parametrize("header", [b"", b"soon", b"-1", b"9" * 18, b"9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}".encode()])
def test_a_header_that_is_no_time_is_passed_over(header: bytes) -> None:
    assert received_at(headers(received_at=header), STAMP) == datetime.fromtimestamp(STAMP / 1000, UTC)


def test_the_bridge_says_when_it_received() -> None:
    assert received_at(headers(received_at=b"1795500001234"), STAMP) == datetime.fromtimestamp(1795500001.234, UTC)
