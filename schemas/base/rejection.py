"""Why a message becomes a dead letter: stable codes that operators filter by and dashboards count."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A code never changes its meaning; a new cause gets a new code."""

    EMPTY = "empty"  # no payload at all
    NOT_JSON = "not_json"  # not UTF-8 text, or not JSON (NaN and Infinity are not JSON)
    TOO_DEEP = "too_deep"  # nested deeper than MAX_DEPTH
    TOO_LARGE = "too_large"  # larger than devices may send
    NOT_OBJECT = "not_object"  # JSON, but not an object
    MISSING_ID = "missing_id"  # neither venId nor ven_id
    BAD_ID = "bad_id"  # an id that cannot be a level of an MQTT topic
    ID_MISMATCH = "id_mismatch"  # the payload names another VEN than the topic it came on
    MISSING_TIME = "missing_time"  # neither timestamp nor ts
    BAD_TIME = "bad_time"  # a time in none of the known forms
    TOO_OLD = "too_old"  # measured before the oldest day that is kept
    TOO_NEW = "too_new"  # measured further in the future than clocks may be off
    MISSING_VALUE = "missing_value"  # a field without which the message says nothing
    BAD_VALUE = "bad_value"  # a known field with a value of the wrong type or out of range
    UNSTORABLE = "unstorable"  # the database refuses its values, though they parsed
    BAD_LOAD = "bad_load"  # one entry of loads; the reading and its other loads count


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reason why a payload, or one load of it, does not count; `detail` says it in words."""

    reason: Reason
    detail: str


class RejectedError(ValueError):
    """Raised inside a parser at the first thing that is wrong; parsers turn it into its `rejection`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.rejection = Rejection(reason, detail)
