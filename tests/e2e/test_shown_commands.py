"""Commands of messages.md, demo.md and dr-events.md, typed as they are shown, before the running system."""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from tests.support.documents import blocks
from tests.support.paths import ROOT
from tests.support.terminal import Terminal, terminal

HERE = str(Path(__file__).relative_to(ROOT))
ANY_API, ANY_BROKER = "http://127.0.0.1:8000", "127.0.0.1:1883"
RECORDED = "ven-real-enhanced"


def shown(document: str) -> str:
    """The one block that names this file as its test."""
    (block,) = (block for block in blocks(ROOT / "docs" / document) if block.run_by == HERE)
    return block.text


def documents(printed: str) -> Iterator[Any]:
    """The JSON documents that stand one behind the other: curl puts nothing in between."""
    rest = printed.strip()
    while rest:
        found, end = json.JSONDecoder().raw_decode(rest)
        yield found
        rest = rest[end:].strip()


@pytest_asyncio.fixture
async def typed(system: System, tmp_path: Path) -> AsyncIterator[Terminal]:
    """A terminal in a folder where this system is what `gateway up` has started."""
    (tmp_path / ".gateway").mkdir()
    (tmp_path / ".gateway" / "data").symlink_to(system.stack.data)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    async with terminal(tmp_path, {**os.environ, "PATH": path}) as opened:
        yield opened


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is missing: install mosquitto-clients")
async def test_the_documented_device_messages_work(system: System, typed: Terminal) -> None:
    publish, ask = shown("reference/messages.md").replace(ANY_API, system.api).splitlines()
    await typed.run(publish)
    await typed.until(ask, lambda text: '"usedPowerKw":8.2' in text)


async def test_the_documented_fleet_commands_work(system: System, typed: Terminal, stored: Connection) -> None:
    broker = f"{system.stack.mqtt_host}:{system.stack.mqtt_port}"
    for line in shown("tutorials/demo.md").replace(ANY_BROKER, broker).replace("uv run ", "").splitlines():
        await typed.run(line)

    async def arrived() -> bool:
        vens = "SELECT count(DISTINCT ven_id) FROM telemetry_readings WHERE ven_id LIKE 'ven-sim-%' OR ven_id = $1"
        return bool(await stored.fetchval(vens, RECORDED) >= 51)

    assert await wait_until(arrived, 60)


async def test_the_documented_event_starts_and_ends(system: System, typed: Terminal) -> None:
    printed = await typed.run(shown("explanation/dr-events.md").replace(ANY_API, system.api))
    created, asked, stopped = documents(printed)
    assert created["id"] == asked["id"] == stopped["eventId"]
    assert (created["requestedReductionKw"], asked["status"], stopped["status"]) == (30.0, "active", "stopping")
    await typed.until("curl -s $API/api/events/$EVENT", lambda text: '"status":"completed"' in text)
