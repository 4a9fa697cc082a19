"""Whether the books balance: what the MQTT broker accepted against what is stored, once each."""

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


class Rows(NamedTuple):
    """How the rows of a fleet are read: VEN ids, and an interval of time that holds all its samples."""

    stored: str
    """ven_id, time, used_kw and the number of loads of each."""
    number: str


READINGS = Rows(
    stored="""
SELECT r.ven_id, r.time, r.used_power_kw AS used_kw, count(l.load_id) AS loads
FROM telemetry_readings AS r LEFT JOIN telemetry_loads AS l USING (ven_id, time)
WHERE r.ven_id = ANY ($1) AND r.time BETWEEN $2 AND $3 AND (l.time IS NULL OR l.time BETWEEN $2 AND $3)
GROUP BY r.ven_id, r.time, r.used_power_kw
""",
    number="SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3",
)
SNAPSHOTS = Rows(
    stored="""
SELECT ven_id, time, sum(current_power_kw) AS used_kw, count(*) AS loads
FROM load_snapshots WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3
GROUP BY ven_id, time
""",
    number="""
SELECT count(DISTINCT (ven_id, time)) FROM load_snapshots WHERE ven_id = ANY ($1) AND time BETWEEN $2 AND $3
""",
)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The comparison. Only `published` and `accepted` may differ: a message without PUBACK may have arrived or not.

    `lost` were accepted and are not stored, `duplicated` are stored more than once (rows or loads too many), `wrong`
    are stored with other values than were published, `unknown` were never published.
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
        """Whether every accepted sample is stored, once and as it was."""
        return not (self.lost or self.duplicated or self.wrong or self.unknown)

    def as_dict(self) -> dict[str, int]:
        """Return the figures by name."""
        return asdict(self)


async def reconcile(settings: DatabaseSettings, ledger: PublishLedger, rows: Rows = READINGS) -> Reconciliation:
    """Compare the ledger of a fleet with what the database holds of it now."""
    published = ledger.published_samples()
    accepted = ledger.accepted_samples()
    seen: dict[tuple[str, int], int] = {}
    duplicated = wrong = unknown = 0
    for row in await _fetch(settings, rows.stored, ledger):
        ven_id, time_ms = row["ven_id"], _milliseconds(row["time"])
        seen[ven_id, time_ms] = seen.get((ven_id, time_ms), 0) + 1
        sample = published.get(ven_id, {}).get(time_ms)
        if sample is None:
            unknown += 1
        elif row["loads"] > sample.loads:
            duplicated += 1
        elif not _same(row, sample):
            wrong += 1
    duplicated += sum(count - 1 for count in seen.values())
    lost = sum((ven_id, time_ms) not in seen for ven_id, samples in accepted.items() for time_ms in samples)
    return Reconciliation(
        published=ledger.published,
        accepted=len(ledger),
        stored=len(seen),
        lost=lost,
        duplicated=duplicated,
        wrong=wrong,
        unknown=unknown,
    )


async def reconcile_when_stored(
    settings: DatabaseSettings, ledger: PublishLedger, rows: Rows = READINGS, *, patience: float = 30
) -> Reconciliation:
    """Wait until everything accepted is stored, or nothing more came for `patience` seconds; then compare."""
    loop = asyncio.get_running_loop()
    best, since = -1, loop.time()
    while True:
        asked = loop.time()
        try:
            stored = (await _fetch(settings, rows.number, ledger))[0]["count"]
        except (OSError, asyncpg.PostgresError):
            stored = best
        if stored > best:
            best, since = stored, loop.time()
        if stored >= len(ledger) or loop.time() - since > patience:
            return await reconcile(settings, ledger, rows)
        # Counting takes from what it waits for: one part in twenty at most.
        await asyncio.sleep(min(2, max(0.25, 20 * (loop.time() - asked))))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _same(row: Any, sample: Sample) -> bool:
    # Payloads hold whole watts; the sum over loads, which a snapshot is compared by, is not exact.
    return bool(row["loads"] == sample.loads and abs(row["used_kw"] - sample.used_kw) < 1e-6)  # noqa: PLR2004


async def _fetch(settings: DatabaseSettings, query: str, ledger: PublishLedger) -> list[Any]:
    samples = ledger.published_samples()
    times = [time_ms for by_time in samples.values() for time_ms in (min(by_time), max(by_time))]
    if not times:
        return await _run(settings, query, [], _EPOCH, _EPOCH)
    first, last = (_EPOCH + time_ms * _MILLISECOND for time_ms in (min(times), max(times)))
    return await _run(settings, query, list(samples), first, last)


async def _run(settings: DatabaseSettings, query: str, *arguments: Any) -> list[Any]:
    patient = settings.model_copy(update={"db_timeout": 600})
    connection = await asyncpg.connect(**connect_options(patient, "gateway-ledger"))
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
