"""The state of the pipeline from the VENs to the tables."""

from datetime import datetime

from schemas.rest.model import Figure, RestModel, example

_WAITING = {"role": "sink", "records": 42}


class RoleBacklog(RestModel):
    """The backlog of a stream role in records; those of about a second are always in progress.

    Null if it is unknown: Kafka is unreachable, or the role has never run.
    """

    model_config = example(_WAITING)

    role: str
    records: int | None


class PipelineStats(RestModel):
    """The state at `as_of`. Values are null if their server is unreachable.

    `messages_per_second` were written to Kafka in the last seconds, with the bridge's heartbeats: one for each
    partition of `ven.raw.metering`. `newest_reading_at` is when the newest reading that is stored was received.
    """

    model_config = example(
        {
            "messagesPerSecond": 47.2,
            "waiting": [{"role": "validate", "records": 40}, _WAITING, {"role": "live", "records": 38}],
            "newestReadingAt": "2025-10-23T17:05:00.212000Z",
            "deadLettersLastHour": 3,
            "asOf": "2025-10-23T17:05:00.512000Z",
        }
    )

    messages_per_second: Figure | None
    waiting: list[RoleBacklog]
    newest_reading_at: datetime | None
    dead_letters_last_hour: int | None
    as_of: datetime
