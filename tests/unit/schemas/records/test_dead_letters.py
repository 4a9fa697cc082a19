"""What a dead letter carries: the source's headers, and ours in place of any that look like ours."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, Rejection
from schemas.records import topics
from schemas.records.dead_letters import dead_letter_headers

OURS = (
    topics.HEADER_REASON,
    topics.HEADER_DETAIL,
    topics.HEADER_SOURCE_TOPIC,
    topics.HEADER_SOURCE_PARTITION,
    topics.HEADER_SOURCE_OFFSET,
    topics.HEADER_SOURCE_TIMESTAMP,
)
REJECTION = Rejection(Reason.BAD_TIME, "no time at all")


def test_a_dead_letter_has_its_reason_and_source() -> None:
    headers = dead_letter_headers(
        REJECTION, [], topic="ven.raw.metering", partition=0, offset=0, timestamp=1_729_700_000_123
    )
    assert headers == [
        ("dead-letter-reason", b"bad_time"),
        ("dead-letter-detail", b"no time at all"),
        ("source-topic", b"ven.raw.metering"),
        ("source-partition", b"0"),
        ("source-offset", b"0"),
        ("source-timestamp", b"1729700000123"),
    ]


def test_a_payload_never_in_kafka_has_no_source_offset() -> None:
    names = [name for name, _ in dead_letter_headers(REJECTION, [], topic="ven.raw.metering")]
    assert names == ["dead-letter-reason", "dead-letter-detail", "source-topic"]


@given(st.lists(st.tuples(st.sampled_from(["mqtt-topic", "x", "", *OURS]), st.binary(max_size=4))))
def test_source_headers_are_kept_and_ours_replaced(source: list[tuple[str, bytes]]) -> None:
    headers = dead_letter_headers(REJECTION, iter(source), topic="t", partition=1, offset=2, timestamp=3)
    kept = [header for header in source if header[0] not in OURS]
    assert headers[: len(kept)] == kept
    assert [name for name, _ in headers[len(kept) :]] == list(OURS)


def test_a_dead_letter_of_a_dead_letter_names_its_last_source() -> None:
    first = dead_letter_headers(REJECTION, [("mqtt-topic", b"m")], topic="a", partition=1, offset=2, timestamp=3)
    second = dict(dead_letter_headers(Rejection(Reason.UNSTORABLE, "later"), first, topic="b"))
    assert second == {
        "mqtt-topic": b"m",
        "dead-letter-reason": b"unstorable",
        "dead-letter-detail": b"later",
        "source-topic": b"b",
    }


@given(st.text(max_size=3000) | st.just("é" * 1001))
def test_a_detail_of_any_text_fits_into_a_header(detail: str) -> None:
    (encoded,) = (
        value
        for name, value in dead_letter_headers(Rejection(Reason.BAD_ID, detail), [], topic="t")
        if name == topics.HEADER_DETAIL
    )
    assert len(encoded) <= 1000
    assert detail.encode(errors="replace").startswith(encoded)
