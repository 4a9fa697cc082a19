"""Splits a payload that is a JSON array into the payloads of its entries."""

from collections.abc import Iterable

import msgspec

from schemas.parsing.common import MAX_PAYLOAD_BYTES, trim

_BRACE = b"{"
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split(payload: bytes) -> list[bytes] | None:
    """Return the payloads of the entries, unchanged; None if the payload is not a JSON array, or too large."""
    if payload[:1] == _BRACE or len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        return [bytes(entry) for entry in _decode(trim(payload))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def join(payloads: Iterable[bytes]) -> bytes:
    """Return the array of these payloads."""
    return b"[" + b",".join(payloads) + b"]"
