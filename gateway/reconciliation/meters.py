"""Reconciles irregular meters: their readings, their dead letters, and their energy."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import asyncpg

from gateway.fleet.meter_fleet import MeterFleet
from gateway.fleet.meters import Row
from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings

READINGS = """
SELECT r.ven_id, extract(epoch FROM r.time)::bigint AS time, r.used_power_kw AS used_kw,
       (SELECT count(*) FROM telemetry_loads AS l WHERE l.ven_id = r.ven_id AND l.time = r.time) AS loads
FROM telemetry_readings AS r WHERE r.ven_id = ANY ($1)
"""
DEAD_LETTERS = "SELECT ven_id, reason, count(*) AS count FROM dead_letters WHERE ven_id = ANY ($1) GROUP BY 1, 2"
ENERGY = """
SELECT COALESCE(sum(m.used_kwh), 0) AS kwh, extract(epoch FROM p.rolled_up_to)::bigint AS until
FROM rollup_progress AS p LEFT JOIN telemetry_minutes AS m ON m.ven_id = ANY ($1) AND m.time < p.rolled_up_to
GROUP BY p.rolled_up_to
"""
HOLD_SECONDS = 1200
_TOLERANCE_KWH = 1e-6


@dataclass(frozen=True, slots=True)
class MeterReconciliation:
    """`missing`, `unknown` and `wrong` readings, and `unexplained` dead letters, must be 0, and the energies equal.

    `expected_kwh` is worked out from what was published: each power holds until the next one, for 20 minutes at most.
    """

    accepted: int
    missing: int
    unknown: int
    wrong: int
    dead_letters: dict[str, int]
    unexplained: int
    expected_kwh: float
    stored_kwh: float

    @property
    def passed(self) -> bool:
        """Whether every reading, dead letter and kWh is as expected."""
        faults = self.missing or self.unknown or self.wrong or self.unexplained
        return not faults and abs(self.expected_kwh - self.stored_kwh) < _TOLERANCE_KWH

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by name."""
        return asdict(self)

    def summary(self) -> str:
        """Return one sentence for people."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dead_letters.items())) or "none"
        return (
            f"Irregular meters: {self.accepted} readings accepted, {self.missing} missing, {self.unknown} unknown, "
            f"{self.wrong} wrong; dead letters as expected: {reasons}; {self.unexplained} unexplained; "
            f"{self.stored_kwh:.4f} kWh of {self.expected_kwh:.4f} kWh in closed minutes."
        )


async def reconcile_meters(settings: DatabaseSettings, fleet: MeterFleet, patience: float) -> MeterReconciliation:
    """Compare what the meters published with what the database contains, for up to `patience` seconds until it fits."""
    connection = await asyncpg.connect(**connect_options(settings, "gateway-reconciliation"))
    try:
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            found = await _compare(connection, fleet)
            if found.passed or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(1)
    finally:
        await connection.close()


def energy_kwh(rows: Iterable[Row], until: int) -> float:
    """Return the energy of readings before `until` (Unix seconds): the integral of power that holds until the next."""
    told = sorted((row.time, row.used_kw) for row in rows if row.used_kw is not None and row.time < until)
    kw_seconds = 0.0
    for (time, kw), (following, _) in pairwise([*told, (until, 0.0)]):
        kw_seconds += kw * min(following - time, HOLD_SECONDS)
    return kw_seconds / 3600


async def _compare(connection: Any, fleet: MeterFleet) -> MeterReconciliation:
    ven_ids = list(fleet.rows)
    stored = {(row["ven_id"], row["time"]): row for row in await connection.fetch(READINGS, ven_ids)}
    expected = {(ven_id, row.time): row for ven_id, rows in fleet.rows.items() for row in rows.values()}
    letters = Counter(
        {(row["ven_id"], row["reason"]): row["count"] for row in await connection.fetch(DEAD_LETTERS, ven_ids)}
    )
    energy = await connection.fetchrow(ENERGY, ven_ids)
    reasons: Counter[str] = Counter()
    for (_, reason), count in fleet.rejected.items():
        reasons[reason] += count
    return MeterReconciliation(
        accepted=len(expected),
        missing=len(expected.keys() - stored.keys()),
        unknown=len(stored.keys() - expected.keys()),
        wrong=sum(
            (row["used_kw"], row["loads"]) != (expected[key].used_kw, expected[key].loads)
            for key, row in stored.items()
            if key in expected
        ),
        dead_letters=dict(reasons),
        unexplained=((letters - fleet.rejected) + (fleet.rejected - letters)).total(),
        expected_kwh=sum(energy_kwh(rows.values(), energy["until"]) for rows in fleet.rows.values()),
        stored_kwh=energy["kwh"],
    )
