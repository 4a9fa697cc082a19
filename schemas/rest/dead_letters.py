"""Dead letters in REST: search, detail and replay."""

import binascii
import json
from base64 import b64decode
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from schemas.parsing.common import MAX_PAYLOAD_BYTES
from schemas.records.dead_letters import DeadLetterState
from schemas.rest.model import Moment, RestModel, example
from schemas.rest.request_body import RequestBody
from schemas.rest.values import IgnoresCase

MAX_DEAD_LETTERS = 1000

# PostgreSQL texts cannot contain NUL.
FilterText = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]


_LETTER = {
    "id": "5f0c8a1be0d29a47",
    "receivedAt": "2025-10-23T17:05:00Z",
    "topic": "ven.raw.metering",
    "mqttTopic": "volttron/metering",
    "venId": "ven-001",
    "reason": "bad_time",
    "detail": "timestamp: 'yesterday' is not a time",
    "size": 62,
    "state": "open",
    "stateAt": None,
    "stateDetail": None,
    "replays": 0,
}
_SOURCE = {"topic": "ven.raw.metering", "partition": 3, "offset": 17402}
_OUTCOME = {"id": "5f0c8a1be0d29a47", "state": "stored", "stateDetail": None, "attempt": 1}


class DeadLetter(RestModel):
    """A record that could not be processed. `topic` is the Kafka topic it came from, `size` the payload in bytes."""

    model_config = example(_LETTER)

    id: str
    received_at: datetime
    topic: str
    mqtt_topic: str | None
    ven_id: str | None
    reason: str
    detail: str
    size: int
    state: str
    state_at: datetime | None
    state_detail: str | None
    replays: int


class DeadLetterPage(RestModel):
    """Newest first. `next` is the cursor of the next page, null on the last one."""

    model_config = example({"deadLetters": [_LETTER], "next": None})

    dead_letters: list[DeadLetter]
    next: str | None


class DeadLetterSource(RestModel):
    """The position of the record in Kafka; partition and offset are null if it was rejected before."""

    model_config = example(_SOURCE)

    topic: str
    partition: int | None
    offset: int | None


class DeadLetterDetail(DeadLetter):
    """A payload is text if it is UTF-8, else base64. `correctedPayload` replaced the original in the last replay."""

    model_config = example(
        {
            **_LETTER,
            "payload": '{"venId": "ven-001", "timestamp": "yesterday", "usedPowerKw": 8.2}',
            "payloadBase64": None,
            "correctedPayload": None,
            "correctedPayloadBase64": None,
            "headers": {"mqtt-topic": "volttron/metering", "dead-letter-reason": "bad_time"},
            "source": _SOURCE,
        }
    )

    payload: str | None
    payload_base64: str | None
    corrected_payload: str | None
    corrected_payload_base64: str | None
    headers: dict[str, Any]
    source: DeadLetterSource


class DeadLetterCriteria(RestModel):
    """Matches dead letters by all given fields, received in [start, end)."""

    topic: FilterText | None = Field(None, description="The Kafka topic they were read from, or an MQTT topic.")
    ven_id: FilterText | None = None
    reason: FilterText | None = Field(
        None, description="A reason code of docs/reference/dead-letters.md, or one that another producer wrote."
    )
    state: Annotated[DeadLetterState | None, IgnoresCase] = None
    start: Moment | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _end_is_not_before_start(self) -> Self:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError("end is before start")
        return self


class DeadLetterQuery(DeadLetterCriteria):
    """One page of the matching dead letters."""

    limit: int = Field(100, ge=1, le=MAX_DEAD_LETTERS)
    cursor: str | None = Field(None, max_length=1024, description="`next` of the previous page.")


class BulkReplay(DeadLetterCriteria, RequestBody):
    """What to replay. Without `state`, those that are not stored: open and rejected ones."""

    model_config = example({"reason": "too_new", "start": "2025-10-23T00:00:00Z"})

    all: bool = Field(default=False, description="Must be true if no filter is given.")
    limit: int = Field(MAX_DEAD_LETTERS, ge=1, le=MAX_DEAD_LETTERS)

    @model_validator(mode="after")
    def _requires_a_filter_or_all(self) -> Self:
        if not self.all and all(getattr(self, name) is None for name in DeadLetterCriteria.model_fields):
            raise ValueError('no filter is given; send "all": true to replay everything that is not stored')
        return self


class ReplayRequest(RequestBody):
    """At most one payload to send in place of the one sent last: a JSON value, a text, or any bytes."""

    model_config = example({"payload": {"venId": "ven-001", "timestamp": 1761239100, "usedPowerKw": 8.2}})

    payload: JsonValue = None
    payload_text: str | None = None
    payload_base64: str | None = None

    @field_validator("payload_base64")
    @classmethod
    def _is_base64(cls, value: str | None) -> str | None:
        try:
            b64decode(value or "", validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
        return value

    @model_validator(mode="after")
    def _is_one_accepted_payload(self) -> Self:
        if len(self.model_fields_set) > 1:
            raise ValueError("at most one of payload, payloadText and payloadBase64 can be given")
        size = len(self.corrected_payload or b"")
        if size > MAX_PAYLOAD_BYTES:
            raise ValueError(f"the payload has {size} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")
        return self

    @property
    def corrected_payload(self) -> bytes | None:
        """The payload to send; None sends the last one again, corrected or original."""
        if "payload" in self.model_fields_set:  # null is a JSON value too
            return json.dumps(self.payload, ensure_ascii=False, allow_nan=False).encode()  # ValueError for a NaN
        if self.payload_base64 is not None:
            return b64decode(self.payload_base64)
        return None if self.payload_text is None else self.payload_text.encode()


class ReplayOutcome(RestModel):
    """The state of one replay; `attempt` counts the replays of this dead letter."""

    model_config = example(_OUTCOME)

    id: str
    state: str
    state_detail: str | None
    attempt: int


class BulkReplayOutcome(RestModel):
    """`matched` dead letters match, `requested` of them are replayed; `outcomes` counts these by state."""

    model_config = example({"matched": 1, "requested": 1, "outcomes": {"stored": 1}, "deadLetters": [_OUTCOME]})

    matched: int
    requested: int
    outcomes: dict[str, int]
    dead_letters: list[ReplayOutcome]
