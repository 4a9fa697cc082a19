"""Load rows that we encode are equal to what asyncpg would have stored."""

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.database import Connection
from schemas.records.telemetry import MAX_MAGNITUDE, Load, LoadSnapshot
from streams.sink.copy_encoding import encode_snapshot_rows
from streams.sink.telemetry_store import SNAPSHOT_COLUMNS

FLOATS = st.none() | st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
LOADS = st.builds(
    Load,
    id=TEXTS.filter(bool),
    name=st.none() | TEXTS,
    type=st.none() | TEXTS,
    capacity_kw=FLOATS,
    current_power_kw=FLOATS,
    shed_capability_kw=FLOATS,
    enabled=st.booleans(),
    priority=st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
    extra=st.none() | st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS | st.integers(0, 9), max_size=2),
)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
SNAPSHOTS = st.builds(
    LoadSnapshot,
    ven_id=TEXTS.filter(bool),
    timestamp=MOMENTS,
    received_at=st.just(datetime(2026, 11, 24, tzinfo=UTC)),
    loads=st.lists(LOADS, max_size=3).map(tuple),
    digest=st.none() | st.integers(0, 2**32 - 1),
)


def row(snapshot: LoadSnapshot, load: Load) -> dict[str, Any]:
    values = load.capacity_kw, load.current_power_kw, load.shed_capability_kw, load.priority, load.enabled
    key = snapshot.ven_id, snapshot.timestamp, load.id
    return dict(
        zip(SNAPSHOT_COLUMNS, (*key, *values, load.name, load.type, load.extra or None, snapshot.digest), strict=True)
    )


async def test_copied_rows_equal_the_loads(rows: Connection) -> None:
    await rows.execute(
        f"CREATE TEMPORARY TABLE packed AS SELECT {', '.join(SNAPSHOT_COLUMNS)} FROM load_snapshots WITH NO DATA"  # noqa: S608
    )
    await rows.set_type_codec("jsonb", encoder=str, decoder=json.loads, schema="pg_catalog")
    snapshots: list[LoadSnapshot] = []

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(SNAPSHOTS, max_size=4))
    def collect(some: list[LoadSnapshot]) -> None:
        snapshots.extend(some)

    collect()
    data = encode_snapshot_rows(snapshots)
    expected = [row(one, load) for one in snapshots for load in one.loads]
    assert len(data) == len(expected)
    await rows.copy_to_table("packed", source=BytesIO(data.data), columns=SNAPSHOT_COLUMNS, format="binary")
    stored = [dict(record) for record in await rows.fetch("SELECT * FROM packed ORDER BY ctid")]
    assert stored == expected
