"""The receive time of a message, from its headers."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from schemas.mqtt.routing import Kind
from schemas.parsing.registry import parse
from schemas.parsing.result import Parsed, Source
from streams.validate.receive_time import receive_time

MEASURED = datetime(2026, 11, 24, 6, tzinfo=UTC)
RECEIVED = MEASURED + timedelta(hours=1)
STAMP = 1_795_500_000_000


def headers(**named: bytes) -> dict[str, bytes]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def parsed_receive_time(measured: datetime, *, retained: bool) -> datetime:
    payload = json.dumps({"venId": "v", "timestamp": measured.isoformat()}).encode()
    outcome = parse(Kind.METERING, payload, Source("volttron/metering", RECEIVED, retained))
    assert isinstance(outcome, Parsed)
    received_at: datetime = outcome.record.received_at
    return received_at


@pytest.mark.parametrize(("retained", "expected"), [(True, MEASURED), (False, RECEIVED)])
def test_retained_message_counts_as_received_when_measured(retained: bool, expected: datetime) -> None:  # noqa: FBT001
    assert parsed_receive_time(MEASURED, retained=retained) == expected


def test_retained_message_of_a_fast_clock_keeps_receive_time() -> None:
    assert parsed_receive_time(RECEIVED + timedelta(minutes=2), retained=True) == RECEIVED


@pytest.mark.parametrize("header", [b"", b"soon", b"-1", b"9" * 18, b"9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}".encode()])
def test_invalid_header_falls_back_to_kafka_timestamp(header: bytes) -> None:
    assert receive_time(headers(received_at=header), STAMP) == datetime.fromtimestamp(STAMP / 1000, UTC)


def test_header_of_the_bridge_is_the_receive_time() -> None:
    assert receive_time(headers(received_at=b"1795500001234"), STAMP) == datetime.fromtimestamp(1795500001.234, UTC)
