"""Reconciles telemetry: every sample that the MQTT broker accepted is stored once, with its values."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from gateway.fleet import PublishLedger, Sample
from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_QUERY_SECONDS = 600


class StoredRows(NamedTuple):
    """Queries for the stored rows of a fleet. Parameters: VEN ids, first and last time of its samples."""

    rows: str
    """Columns: ven_id, time, used_kw and the number of loads of each sample."""
    total: str


READINGS = StoredRows(
    rows="""
SELECT r.ven_id, r.time, r.used_power_kw AS used_kw, count(l.load_id) AS loads
FROM telemetry_readings AS r LEFT JOIN telemetry_loads AS l USING (ven_id, time)
WHERE r.ven_id = ANY ($1) AND r.time BETWEEN $2 AND $3 AND (l.time IS NULL OR l.time BETWEEN $2 AND $3)
GROUP BY r.ven_id, r.time, r.used_power_kw
""",
    total="SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3",
)
SNAPSHOTS = StoredRows(
    rows="""
SELECT ven_id, time, sum(current_power_kw) AS used_kw, count(*) AS loads
FROM load_snapshots WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3
GROUP BY ven_id, time
""",
    total="""
SELECT count(DISTINCT (ven_id, time)) FROM load_snapshots WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3
""",
)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result, in samples. `lost`, `duplicated`, `wrong` and `unknown` must be 0.

    `lost` samples were accepted and are not stored. `duplicated` ones are stored more than once, or with too many
    loads. `wrong` ones are stored with other values than were published. `unknown` ones were never published.
    `stored` may exceed `accepted`: a sample whose PUBACK was lost may have arrived.
    """

    published: int
    accepted: int
    stored: int
    lost: int
    duplicated: int
    wrong: int
    unknown: int

    @property
    def passed(self) -> bool:
        """Whether every accepted sample is stored once, with its values."""
        return not (self.lost or self.duplicated or self.wrong or self.unknown)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


async def reconcile(settings: DatabaseSettings, ledger: PublishLedger, stored: StoredRows = READINGS) -> Reconciliation:
    """Compare a fleet's ledger with what the database contains now."""
    published = ledger.published_samples()
    accepted = ledger.accepted_samples()
    found: dict[tuple[str, int], int] = {}
    duplicated = wrong = unknown = 0
    for row in await _fetch(settings, stored.rows, ledger):
        ven_id, time_ms = row["ven_id"], _milliseconds(row["time"])
        found[ven_id, time_ms] = found.get((ven_id, time_ms), 0) + 1
        sample = published.get(ven_id, {}).get(time_ms)
        if sample is None:
            unknown += 1
        elif row["loads"] > sample.loads:
            duplicated += 1
        elif not _matches(row, sample):
            wrong += 1
    duplicated += sum(count - 1 for count in found.values())
    lost = sum((ven_id, time_ms) not in found for ven_id, samples in accepted.items() for time_ms in samples)
    return Reconciliation(
        published=ledger.published,
        accepted=len(ledger),
        stored=len(found),
        lost=lost,
        duplicated=duplicated,
        wrong=wrong,
        unknown=unknown,
    )


async def reconcile_when_stored(
    settings: DatabaseSettings, ledger: PublishLedger, stored: StoredRows = READINGS, *, patience: float = 30
) -> Reconciliation:
    """Wait until everything accepted is stored, or for `patience` seconds nothing more was; then reconcile."""
    loop = asyncio.get_running_loop()
    most, since = -1, loop.time()
    while True:
        asked = loop.time()
        try:
            count = (await _fetch(settings, stored.total, ledger))[0]["count"]
        except (OSError, asyncpg.PostgresError):
            count = most
        if count > most:
            most, since = count, loop.time()
        if count >= len(ledger) or loop.time() - since > patience:
            return await reconcile(settings, ledger, stored)
        # Counting slows down the work that we wait for, so it takes at most a twentieth of the time.
        await asyncio.sleep(min(2, max(0.25, 20 * (loop.time() - asked))))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _matches(row: Any, sample: Sample) -> bool:
    # Payloads hold whole watts, but the sum over the loads of a snapshot is not exact.
    return bool(row["loads"] == sample.loads and abs(row["used_kw"] - sample.used_kw) < 1e-6)  # noqa: PLR2004 - a milliwatt


async def _fetch(settings: DatabaseSettings, query: str, ledger: PublishLedger) -> list[Any]:
    samples = ledger.published_samples()
    times = [time_ms for by_time in samples.values() for time_ms in (min(by_time), max(by_time))]
    if not times:
        return await _run(settings, query, [], _EPOCH, _EPOCH)
    first, last = (_EPOCH + time_ms * _MILLISECOND for time_ms in (min(times), max(times)))
    return await _run(settings, query, list(samples), first, last)


async def _run(settings: DatabaseSettings, query: str, *arguments: Any) -> list[Any]:
    patient = settings.model_copy(update={"db_timeout": _QUERY_SECONDS})
    connection = await asyncpg.connect(**connect_options(patient, "gateway-reconciliation"))
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
