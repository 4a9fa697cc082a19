"""Why a message becomes a dead letter: stable codes that operators filter and dashboards count."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Reason codes. A code never changes its meaning; a new cause gets a new code."""

    EMPTY = "empty"  # nothing but white space, NUL or a byte-order mark
    NOT_JSON = "not_json"  # not UTF-8 text, or not JSON (NaN and Infinity are not JSON)
    TOO_DEEP = "too_deep"  # nested deeper than MAX_DEPTH
    TOO_LARGE = "too_large"  # larger than devices may send
    NOT_OBJECT = "not_object"  # JSON, but not an object
    MISSING_ID = "missing_id"  # neither venId nor ven_id
    BAD_ID = "bad_id"  # an id that cannot be a level of an MQTT topic
    ID_MISMATCH = "id_mismatch"  # the payload names another VEN than the topic it came on
    MISSING_TIME = "missing_time"  # neither timestamp nor ts
    BAD_TIME = "bad_time"  # a time in no known form
    TOO_OLD = "too_old"  # measured before the retention period
    TOO_NEW = "too_new"  # measured further in the future than allowed
    MISSING_VALUE = "missing_value"  # a required field is absent
    BAD_VALUE = "bad_value"  # a known field with a value of the wrong type or out of range
    UNSTORABLE = "unstorable"  # PostgreSQL rejects values that the parser accepted
    IMPLAUSIBLE = "implausible"  # a power that the VEN cannot have; also of one load, then the others are stored
    CONFLICTING_SAMPLE = "conflicting_sample"  # another sample of the VEN has this time and was first
    BAD_LOAD = "bad_load"  # one entry of loads is rejected; the reading and its other loads are stored


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a payload, or one load of it, is rejected; `detail` is a sentence for people."""

    reason: Reason
    detail: str


class RejectedError(ValueError):
    """Raised by a parser at the first error; `parse` turns it into its `rejection`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.rejection = Rejection(reason, detail)
