"""docs/tutorials/first-ven.md, from its first command to its last, and the records that the log has after it."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.asyncapi.records import VALUES
from gateway.local.system import System
from schemas.records import topics
from tests.support.asyncapi import wrong_with
from tests.support.documents import blocks
from tests.support.log import read_all
from tests.support.paths import ROOT
from tests.support.terminal import Terminal, terminal

DOCUMENT = ROOT / "docs" / "tutorials" / "first-ven.md"
# What brings the addresses of the servers into the second and the third terminal.
(SERVERS,) = (line for line in DOCUMENT.read_text().splitlines() if ". .gateway/data/gateway.env" in line)
SHELL = [block.text for block in blocks(DOCUMENT) if block.language == "sh" and not block.not_run]
(DEVICE,) = (block.text for block in blocks(DOCUMENT) if block.language == "python")


def shell(words: str) -> str:
    """The one block that holds these words."""
    (found,) = (text for text in SHELL if words in text)
    return found


@asynccontextmanager
async def device(folder: Path, env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    (folder / "first_ven.py").write_text(DEVICE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "first_ven.py"), cwd=folder, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def environment(system: System, tmp_path: Path) -> dict[str, str]:
    """What the lines of the second terminal bring to the commands that are typed there."""
    (tmp_path / ".gateway").mkdir()
    (tmp_path / ".gateway" / "data").symlink_to(system.stack.data)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    typed = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", f"{SERVERS}\nenv -0"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {**dict(line.split("=", 1) for line in typed.stdout.split("\0") if line), "API": system.api}


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is missing: install mosquitto-clients")
async def test_the_tutorial_works_as_it_is_written(system: System, environment: dict[str, str], tmp_path: Path) -> None:
    async with terminal(tmp_path, environment) as typed:
        await typed.run(shell("$(date +%s)"))
        await typed.until(
            shell("vens/my-home-1"), lambda text: '"status":"online"' in text and '"currentPowerKw":3.2' in text
        )
        await typed.run(shell('{"venId": "my-home-1", "usedPowerKw"'))
        await typed.until(shell("deadletters list"), lambda text: "missing_time" in text)
        async with device(tmp_path, environment) as home:
            await _an_event_comes_and_goes(typed, home)
            home.kill()
            await typed.until("curl -s $API/api/vens/my-home-2", lambda text: '"status":"offline"' in text)
    await _every_record_is_as_described(system)


async def _an_event_comes_and_goes(typed: Terminal, home: asyncio.subprocess.Process) -> None:
    await typed.until("curl -s $API/api/vens/my-home-2", lambda text: '"status":"online"' in text)
    created = json.loads(await typed.run(shell("venIds")))
    assert home.stdout is not None
    async with asyncio.timeout(60):
        assert await home.stdout.readline() == b"event accepted\n"

    def ven(text: str) -> dict[str, Any]:
        event = json.loads(text)
        assert event["id"] == created["id"]
        (found,) = event["vens"]
        return dict(found)

    def sheds(text: str) -> bool:
        return (ven(text)["status"], ven(text)["shedKw"]) == ("shedding", 2.0)

    await typed.until(shell("EVENT=$"), sheds)
    (ack,) = json.loads(await typed.run(shell("/acks")))
    assert (ack["status"], ack["actualShedKw"], ack["circuitsCurtailed"][0]["final_kw"]) == ("accepted", 2.0, 1.6)
    await typed.run(shell("/stop"))
    async with asyncio.timeout(60):
        assert await home.stdout.readline() == b"restore success\n"
    await typed.until("curl -s $API/api/events/$EVENT", lambda text: ven(text)["status"] == "restored")


async def _every_record_is_as_described(system: System) -> None:
    """All that this system has written to any topic, by whatever test, is what docs/reference/asyncapi.yaml says."""
    seen = set()
    for topic in VALUES:
        for record in await read_all(system.kafka, system.kafka.topics(topic), beats=True):
            if record.value:
                seen.add(topic)
                assert wrong_with(topic, msgspec.json.decode(record.value)) is None
    always = {topics.TELEMETRY, topics.STATUS, topics.ACKS, topics.COMMANDS, topics.COMMAND_LOG, topics.STATS}
    assert always | {topics.PARTIALS, topics.HEARTBEATS, topics.SUBSCRIPTIONS} <= seen
