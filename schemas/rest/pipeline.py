"""How the way from the VENs to the tables goes."""

from datetime import datetime

from schemas.rest.model import Figure, RestModel, example

_WAITING = {"role": "sink", "records": 42}


class RoleBacklog(RestModel):
    """How many records of the log a stream role has yet to process; those of about a second are always under way.

    Null where that is not known: the log is away, or the role has never run.
    """

    model_config = example(_WAITING)

    role: str
    records: int | None


class PipelineStats(RestModel):
    """As seen at `as_of`. What a server that is down would tell is null.

    `messages_per_second` come into the log, over the last seconds, the bridge's own among them: one for each partition
    of `ven.raw.metering`. `newest_reading_at` is when the newest reading that is stored was received.
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
