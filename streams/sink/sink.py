"""Stores batches of canonical records; a record that cannot be stored becomes a dead letter."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import msgspec

from schemas.base.rejection import Reason, Rejection
from schemas.base.time_window import TimeWindow
from schemas.records.dead_letters import ReplayOf
from schemas.records.topics import HEADER_REPLAY_OF
from streams.dead_letters.replay_store import record_outcome
from streams.engine.batch import Batch, Record, headers_of
from streams.engine.batch_producer import BatchProducer
from streams.store.database import DATA_FAULTS, TransactionHook

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Store(Protocol):
    """Stores the canonical records of one topic."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that hold a row of each record; none, if only the latest record is kept."""

    def exclusive_keys(self, records: Sequence[Any], /) -> AbstractAsyncContextManager[None]:
        """Wait for other batches with a key of these records, so that the first record of a key counts."""

    async def store(self, records: Sequence[Any], hook: TransactionHook | None = None) -> Sequence[Any]:
        """Store records and run `hook` in the same transaction; return the conflicting ones; raises DATA_FAULTS."""


class Sink:
    """Decodes and stores the records of one topic."""

    def __init__(
        self,
        new_producer: Callable[[], BatchProducer],
        decode: Callable[[bytes], Any],
        store: Store,
        window: TimeWindow | None,
    ) -> None:
        """Without a window, records count whatever their time.

        `new_producer` is called once per batch, because several batches may be in progress.
        """
        self._new_producer = new_producer
        self._window = window
        self._decode = decode
        self._store = store

    async def process(self, batches: Sequence[Batch]) -> None:
        """Process all records; return when each is committed in PostgreSQL or is a dead letter in Kafka."""
        batch_producer, now = self._new_producer(), datetime.now(UTC)
        records: list[tuple[Record, Any]] = []
        replays: list[tuple[Record, Any]] = []
        for batch in batches:
            for record in batch.records:
                canonical = self._decode_record(record, now)
                if isinstance(canonical, Rejection):
                    batch_producer.dead_letter(record, canonical)
                elif record.headers and HEADER_REPLAY_OF in headers_of(record):
                    replays.append((record, canonical))
                else:
                    records.append((record, canonical))
        async with self._store.exclusive_keys([canonical for _, canonical in [*records, *replays]]):
            if records:
                await self._store_or_reject(batch_producer, records)
            # One at a time, so that the outcome of each replay is known.
            for replay in replays:
                await self._store_or_reject(batch_producer, [replay], self._outcome_hook(*replay))
        await batch_producer.flush()

    def _outcome_hook(self, record: Record, canonical: Any) -> TransactionHook | None:
        replay = ReplayOf.parse(headers_of(record)[HEADER_REPLAY_OF])
        if replay is None:
            return None
        return partial(record_outcome, replay=replay, tables=self._store.tables, record=canonical)

    def _decode_record(self, record: Record, now: datetime) -> Any:
        """Return the canonical record or a Rejection: processes other than `validate` may write to the topic."""
        try:
            canonical = self._decode(record.value or b"")
        except msgspec.ValidationError as error:
            return Rejection(Reason.BAD_VALUE, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Rejection(Reason.NOT_JSON, str(error))
        if not _EPOCH < canonical.received_at <= now:
            # The clock of the bridge may be a little ahead of ours; a future receive time would keep a VEN online.
            canonical = msgspec.structs.replace(canonical, received_at=now)
        if self._window is None:
            return canonical
        return self._window.check(canonical.timestamp, now) or canonical

    async def _store_or_reject(
        self, batch_producer: BatchProducer, records: Sequence[tuple[Record, Any]], hook: TransactionHook | None = None
    ) -> None:
        """Store records; halve a batch that the database refuses until the faulty records are found."""
        try:
            conflicts = await self._store.store([canonical for _, canonical in records], hook)
        except DATA_FAULTS as error:
            if len(records) == 1:
                record, _ = records[0]
                logger.warning("the database refused a record: %s", error, extra={"action": "record_unstorable"})
                batch_producer.dead_letter(record, Rejection(Reason.UNSTORABLE, str(error)))
                return
            middle = len(records) // 2
            await self._store_or_reject(batch_producer, records[:middle])
            await self._store_or_reject(batch_producer, records[middle:])
        else:
            conflicting = {id(canonical) for canonical in conflicts}
            for record, canonical in records:
                if id(canonical) in conflicting:
                    batch_producer.dead_letter(record, _conflict(canonical))


def _conflict(canonical: Any) -> Rejection:
    detail = f"another message of {canonical.ven_id!r} of {canonical.timestamp.isoformat()} was first"
    return Rejection(Reason.CONFLICTING_SAMPLE, detail)
