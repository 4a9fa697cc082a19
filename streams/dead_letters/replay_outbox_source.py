"""Replays of dead letters from the outbox to their source topics, where they are processed like any message.

A dead letter that is replayed twice meets its own rows, like any duplicate.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from runtime.database import Connection
from runtime.kafka import MAX_RECORD_BYTES
from schemas.base.rejection import Reason
from schemas.records.dead_letters import ReplayOf, source_headers
from streams.dead_letters.replay_store import fetch_replays, mark_rejected, mark_sent
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

logger = logging.getLogger(__name__)

_REPLAYS_AT_ONCE = 50
"""Up to 1.3 MB each, within the publisher's timeout."""


class ReplayPublication(Publication):
    """Replays: each dead letter becomes `sent`, or `rejected` if it is too large for its topic."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._sent: list[ReplayOf] = []
        self._too_large: list[tuple[ReplayOf, str]] = []
        super().__init__([record for row in rows for record in self._record(row)])

    def _record(self, row: Any) -> list[OutgoingRecord]:
        replay = ReplayOf(row["id"], row["time"], row["replays"])
        key, value = row["key"], row["payload"]
        headers = [*source_headers(msgspec.json.decode(row["headers"]), replay.dead_letter_time), replay.header()]
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
        if size > MAX_RECORD_BYTES:
            # Kafka would refuse it each time, and every other replay with it.
            reason = f"{Reason.TOO_LARGE}: {size} bytes with its headers; its topic holds {MAX_RECORD_BYTES}"
            self._too_large.append((replay, reason))
            return []
        self._sent.append(replay)
        return [OutgoingRecord(row["source_topic"], key, value, headers)]

    async def confirm(self, connection: Connection, _published_at: datetime) -> None:
        """Set the state of each dead letter."""
        for replay, reason in self._too_large:
            await mark_rejected(connection, replay, reason)
        await mark_sent(connection, self._sent)

    def after_commit(self) -> None:
        """Log how many were replayed."""
        if self._sent:
            logger.info("replayed %d dead letters", len(self._sent), extra={"action": "dead_letters_replayed"})


def replay_source() -> OutboxSource:
    """Publish each requested replay to the topic that its dead letter came from."""
    return OutboxSource("replay", _load, _REPLAYS_AT_ONCE, poll_seconds=0.5)


async def _load(connection: Connection, references: Sequence[Reference]) -> Publication:
    return ReplayPublication(await fetch_replays(connection, references))
