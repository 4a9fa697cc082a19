"""One partition a day: its name, and the bounds of what it holds."""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables import metadata
from schemas.tables.partitioning import PARTITIONED, create_partition, day_of, partition_name

DAYS = st.dates(date(1, 1, 2), date(9999, 12, 30))


@given(st.lists(DAYS, unique=True))
def test_partition_names_sort_by_day(days: list[date]) -> None:
    by_day = [partition_name("readings", day) for day in sorted(days)]
    assert by_day == sorted(by_day)
    assert len(set(by_day)) == len(days)


@given(DAYS)
def test_a_partition_name_has_its_day_in_eight_digits(day: date) -> None:
    name = partition_name("readings", day)
    assert re.fullmatch(r"readings_\d{8}", name)
    assert name == f"readings_{day.isoformat().replace('-', '')}"


@given(DAYS)
def test_a_partition_covers_exactly_its_utc_day(day: date) -> None:
    create, attach = create_partition("readings", day)
    name = partition_name("readings", day)
    assert create == f"CREATE TABLE IF NOT EXISTS {name} (LIKE readings INCLUDING ALL)"
    bounds = re.fullmatch(
        rf"ALTER TABLE readings ATTACH PARTITION {name} FOR VALUES FROM \('(.+)'\) TO \('(.+)'\)", attach
    )
    assert bounds is not None
    begin, end = (datetime.fromisoformat(bound) for bound in bounds.groups())
    assert begin == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert end - begin == timedelta(days=1)


@given(DAYS)
def test_the_next_day_begins_where_the_day_ends(day: date) -> None:
    end = create_partition("readings", day)[1].split(" TO ")[1]
    begin = (
        create_partition("readings", min(day + timedelta(days=1), date(9999, 12, 30)))[1]
        .split(" FROM ")[1]
        .split(" TO ")[0]
    )
    if day < date(9999, 12, 30):
        assert begin == end


@pytest.mark.parametrize("table", PARTITIONED, ids=str)
def test_partition_names_fit_into_an_identifier(table: object) -> None:
    name = partition_name(str(table), date(2025, 1, 1))
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z_]+\d{8}", name)


@given(DAYS, st.times(), st.integers(-840, 840))
def test_a_time_belongs_to_its_utc_day_in_any_zone(day: date, at: time, minutes: int) -> None:
    moment = datetime.combine(day, at, UTC)
    assert day_of(moment) == day
    if 1 < day.year < 9999:
        assert day_of(moment.astimezone(timezone(timedelta(minutes=minutes)))) == day


def test_the_partitioned_tables_are_partitioned_by_time() -> None:
    by_time = {table.name for table in metadata.sorted_tables if table.kwargs.get("postgresql_partition_by")}
    assert by_time == set(PARTITIONED)
