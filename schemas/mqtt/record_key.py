"""The Kafka key of an MQTT message: its VEN id, so that the messages of a VEN stay in order."""

from typing import Any

import msgspec

from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import sender_of
from schemas.parsing.common import MAX_ID_LENGTH, trim


class _Ids(msgspec.Struct):
    venId: Any = None
    ven_id: Any = None


_decode_ids = msgspec.json.Decoder(_Ids | list[Any]).decode


def message_key(kind: Kind, topic: str, payload: bytes) -> bytes | None:
    """Return the VEN id as the record's key; None, and so any partition, if the message names no VEN.

    The key of an array of samples is that of its first entry.
    """
    ven_id = sender_of(kind, topic, lambda: _stated_id(payload))
    return ven_id.encode() if isinstance(ven_id, str) and 0 < len(ven_id) <= MAX_ID_LENGTH else None


def _stated_id(payload: bytes) -> Any:
    try:
        ids = _decode_ids(trim(payload))
        if isinstance(ids, list):
            ids = msgspec.convert(ids[0] if ids else {}, _Ids)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return ids.ven_id if ids.venId is None else ids.venId
