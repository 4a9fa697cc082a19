"""What docs/how-to/analytics.md shows does what the document says, on a real log and a real database."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.minutes import Minute, Power
from schemas.records.telemetry import decode_reading, encode_record
from schemas.records.topics import MINUTES, TELEMETRY, TOPICS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.contract.filled import fill
from tests.support.paths import ROOT
from tests.support.readings import reading

DOCUMENT = ROOT / "docs" / "how-to" / "analytics.md"
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOW = datetime.now(UTC).replace(second=0, microsecond=0)


def shown(language: str) -> list[str]:
    return [text for kind, text in BLOCKS.findall(DOCUMENT.read_text()) if kind == language]


def programs(folder: Path) -> None:
    """Write every Python block into the file that its first line names."""
    for text in shown("python"):
        name = text.partition("\n")[0].removeprefix("# ")
        assert name.endswith(".py")
        (folder / name).write_text(text)


def environment(kafka: KafkaSettings) -> dict[str, str]:
    return os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
    }


@asynccontextmanager
async def following(kafka: KafkaSettings, folder: Path) -> AsyncIterator[None]:
    """Have follow.py at work inside; it ends by being killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "follow.py", cwd=folder, env=environment(kafka), stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
        assert process.returncode is None, (await process.communicate())[1].decode()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


def minute(ven_id: str, back: int, version: int, kw: float, event_id: str | None = None) -> bytes:
    found = Power(samples=12, mean_kw=kw, min_kw=kw, max_kw=kw, energy_kwh=kw / 60, covered_seconds=60)
    moment = NOW - timedelta(minutes=back)
    return encode_record(
        Minute(ven_id=ven_id, minute=moment, version=version, samples=12, used=found, shed=found, event_id=event_id)
    )


async def write(kafka: KafkaSettings, topic: str, values: list[bytes], written_at: datetime | None = None) -> None:
    """Put them in one partition in this order, by the key that all have."""
    moment = None if written_at is None else int(written_at.timestamp() * 1000)
    async with AIOKafkaProducer(bootstrap_servers=kafka.kafka_bootstrap_servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(kafka.topics(topic), value, key=b"ven-1", timestamp_ms=moment)


def rows_of(folder: Path, query: str) -> list[Any]:
    file = folder / "analytics.sqlite"
    if not file.exists():
        return []
    db = sqlite3.connect(file)
    try:
        return db.execute(query).fetchall()
    except sqlite3.OperationalError:  # its tables are not made yet
        return []
    finally:
        db.close()


async def test_a_follower_counts_once_what_comes_again(kafka: KafkaSettings, tmp_path: Path) -> None:
    programs(tmp_path)
    readings = [encode_record(reading("ven-1", second, used_power_kw=second)) for second in (0.0, 5.0, 10.5)]
    silent = encode_record(reading("ven-1", 15.0, used_power_kw=None))
    await write(kafka, TELEMETRY, [*readings, silent, readings[1]])
    # The correction came first, and a version comes again.
    await write(kafka, MINUTES, [minute("ven-1", 3, 8, 6.0), minute("ven-1", 3, 7, 3.0), minute("ven-1", 2, 9, 12.0)])

    energies = "SELECT version, used_kwh FROM minutes ORDER BY minute"
    powers = "SELECT used_kw FROM readings ORDER BY used_kw NULLS LAST"

    async def both(minutes: list[Any], kw: list[Any]) -> bool:
        return rows_of(tmp_path, energies) == minutes and rows_of(tmp_path, powers) == kw

    expected = [(0.0,), (5.0,), (10.5,), (None,)]
    async with following(kafka, tmp_path):
        assert await wait_until(lambda: both([(8, 0.1), (9, 0.2)], expected), 60), rows_of(tmp_path, energies)
    # It was killed. All comes again, with one reading more and a correction.
    await write(kafka, TELEMETRY, [*readings, encode_record(reading("ven-1", 20.0, used_power_kw=20.0))])
    await write(kafka, MINUTES, [minute("ven-1", 3, 7, 3.0), minute("ven-1", 2, 10, 24.0)])
    expected.insert(3, (20.0,))
    async with following(kafka, tmp_path):
        assert await wait_until(lambda: both([(8, 0.1), (10, 0.4)], expected), 60), rows_of(tmp_path, energies)


async def test_duckdb_adds_up_the_highest_versions_of_the_stretch(kafka: KafkaSettings, tmp_path: Path) -> None:
    programs(tmp_path)
    await write(kafka, MINUTES, [minute("ven-1", 3000, 1, 600.0)], NOW - timedelta(days=2))
    values = [
        minute("ven-1", 3, 8, 6.0, "evt-1"),
        minute("ven-1", 3, 7, 3.0),
        minute("ven-1", 2, 9, 12.0),
        minute("ven-1", 2, 9, 12.0),
        minute("ven-2", 2, 10, -3.0),
    ]
    await write(kafka, MINUTES, values)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "energy.py",
        cwd=tmp_path,
        env=environment(kafka),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines() == ["ven-1 2 0.3 0.1 12.0", "ven-2 1 -0.05 None -3.0"]


async def test_the_sql_runs(database: DatabaseSettings, rows: Connection) -> None:
    await fill(database)
    statements = shown("sql")
    assert len(statements) == 3
    for statement in statements:
        await rows.fetch(statement)


def test_the_reading_that_is_shown_is_one() -> None:
    (text,) = shown("json")
    shown_fields, decoded = msgspec.json.decode(text), decode_reading(text)
    assert msgspec.json.decode(encode_record(decoded)).keys() == shown_fields.keys()


def test_every_topic_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:ven|network)\.[a-z0-9.-]+)`", DOCUMENT.read_text()))
    assert named <= {topic.name for topic in TOPICS}
