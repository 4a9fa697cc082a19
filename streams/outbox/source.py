"""What a kind of outbox row publishes: each capability provides one source for its rows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from runtime.batch_writer import Headers
from runtime.database import Connection
from schemas.tables.outbox import OutboxKind
from streams.outbox.store import Reference


class OutgoingRecord(NamedTuple):
    """A record for Kafka; `topic` is its full name, prefix included."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class Publication:
    """The records of some outbox rows, and what follows their publication.

    There may be fewer records than rows: a command that was withdrawn, for example, has none.
    """

    def __init__(self, records: Sequence[OutgoingRecord] = ()) -> None:
        self.records = records

    async def confirm(self, connection: Connection, published_at: datetime, /) -> None:
        """Update the source rows once Kafka has the records, in the transaction that deletes the outbox rows.

        `published_at` is the timestamp of the records.
        """

    def after_commit(self) -> None:
        """Count or trace what was published."""


@dataclass(frozen=True)
class OutboxSource:
    """How one kind of rows is published: `load` reads the current values of the rows, in order and without repeats."""

    kind: OutboxKind
    load: Callable[[Connection, Sequence[Reference]], Awaitable[Publication]]
    rows_at_once: int = 5000
    poll_seconds: float = 1.0
