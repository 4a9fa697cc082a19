"""Adds up the partials of all partitions."""

import logging
from collections.abc import Container, Iterable
from datetime import UTC, datetime

import msgspec

from schemas.records.network import MAX_CLOCK_DIFFERENCE, NetworkTotals, Partial, Totals, decode_partial
from streams.engine.batch import Batch
from streams.live.aggregation import merge_types

logger = logging.getLogger(__name__)


def decode_partials(batches: Iterable[Batch], partitions: Container[int]) -> Iterable[Partial]:
    """Decode the partials of these partitions; skip others, and those of the future, which would stay for ever."""
    latest = datetime.now(UTC) + MAX_CLOCK_DIFFERENCE
    for record in (record for batch in batches for record in batch.records):
        try:
            partial = decode_partial(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("skipped a record that is no partial: %s", error, extra={"action": "partial_skipped"})
            continue
        if partial.partition in partitions and (partial.as_of is None or partial.as_of <= latest):
            yield msgspec.structs.replace(partial, load_types=merge_types([partial.load_types]))


def sum_partials(partials: list[Partial]) -> NetworkTotals:
    """Add up the latest partial of each partition; `as_of` ignores partitions that never received a record."""
    received = [partial.as_of for partial in partials if partial.as_of is not None]
    return NetworkTotals(
        as_of=min(received, default=datetime.now(UTC)),
        totals=sum((partial.totals for partial in partials), Totals()),
        load_types=merge_types(partial.load_types for partial in partials),
    )
