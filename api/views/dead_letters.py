"""Dead letters as REST, the live feed and the command line show them, and the cursor of a page."""

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec

from api.queries.dead_letters import DeadLetterKey
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail, DeadLetterSource


def dead_letter_view(row: Any) -> DeadLetter:
    """Show a row of `dead_letters`."""
    return DeadLetter(**_summary(row))


def dead_letter_detail_view(row: Any) -> DeadLetterDetail:
    """Show a row with its payloads and headers."""
    payload, corrected_payload = as_text(row["payload"]), as_text(row["corrected_payload"])
    return DeadLetterDetail(
        **_summary(row),
        payload=payload,
        payload_base64=_base64(row["payload"]) if payload is None else None,
        corrected_payload=corrected_payload,
        corrected_payload_base64=_base64(row["corrected_payload"]) if corrected_payload is None else None,
        headers=msgspec.json.decode(row["headers"]),
        source=DeadLetterSource(
            topic=row["source_topic"], partition=row["source_partition"], offset=row["source_offset"]
        ),
    )


def _summary(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "received_at": row["time"],
        "topic": row["source_topic"],
        "mqtt_topic": row["mqtt_topic"],
        "ven_id": row["ven_id"],
        "reason": row["reason"],
        "detail": row["detail"],
        "size": row["size"],
        "state": row["state"],
        "state_at": row["state_at"],
        "state_detail": row["state_detail"],
        "replays": row["replays"],
    }


def as_text(payload: bytes | None) -> str | None:
    """Return a payload as text; None if it is not UTF-8."""
    try:
        return None if payload is None else payload.decode()
    except UnicodeDecodeError:
        return None


def _base64(payload: bytes | None) -> str | None:
    return None if payload is None else b64encode(payload).decode()


def encode_cursor(key: DeadLetterKey) -> str:
    """Return the key of a page's last row as an opaque cursor."""
    return urlsafe_b64encode(f"{key.time.isoformat()} {key.id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> DeadLetterKey:
    """Return the key in a cursor.

    Raises:
        ValueError: it is not valid.
    """
    try:
        time, dead_letter_id = urlsafe_b64decode(cursor + "==").decode().split(" ", 1)
        moment = datetime.fromisoformat(time).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("the cursor is not valid; use the one of the previous page") from None
    if "\0" in dead_letter_id:
        raise ValueError("the cursor is not valid; use the one of the previous page")
    return DeadLetterKey(moment, dead_letter_id)
