"""The load of a benchmark: a fleet whose messages are all made before the first is published.

It is a process of its own (`python -m gateway.bench.load`), told what to do line by line, so that its CPU time can be
told from what it measures, and so that making the messages takes nothing from the system under test.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from gateway.fleet import Accepted, Fleet, FleetOptions
from gateway.fleet.publisher import Publisher
from gateway.fleet.schedule import turns
from schemas.errors import GatewayError

_DRAIN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """So many samples of so many homes, all of the past; `topic` may name the home as `{ven_id}`."""

    host: str
    port: int
    messages: int
    vens: int
    prefix: str
    topic: str
    ledger: str


@dataclass(frozen=True, slots=True)
class Published:
    """One stretch: messages that the broker accepted, the seconds it took, and the CPU seconds of the generator."""

    messages: int
    seconds: float
    cpu_s: float


class Load:
    """The process from outside."""

    def __init__(self, process: asyncio.subprocess.Process, ledger: Path) -> None:
        self._process = process
        self._ledger = ledger

    async def publish(self, messages: int, rate: float = 0) -> Published:
        """Publish the next messages, `rate` a second or as fast as the broker takes them.

        Raises:
            GatewayError: the generator ended; its message is on standard error.
        """
        if self._process.stdin is None:
            raise GatewayError("the load generator takes no orders")
        self._process.stdin.write(f"{messages} {rate}\n".encode())
        return Published(**json.loads(await _line(self._process)))

    async def ledger(self) -> Accepted:
        """End it, and read what it published and what of that the broker accepted."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if await self._process.wait():
            raise GatewayError("the load generator failed; its message is above")
        return await asyncio.to_thread(Accepted.read, self._ledger)


@asynccontextmanager
async def load(options: LoadOptions) -> AsyncIterator[Load]:
    """Have the process inside, with all its messages made."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.load", json.dumps(asdict(options))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _line(process)
        yield Load(process, Path(options.ledger))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    line = b"" if process.stdout is None else await process.stdout.readline()
    if not line:
        raise GatewayError("the load generator ended; its message is above")
    return line


async def _generate(options: LoadOptions) -> None:
    fleet_options = FleetOptions(
        host=options.host,
        port=options.port,
        vens=options.vens,
        prefix=options.prefix,
        metering_topic=options.topic,
        loads_enabled=False,
        rate=1.0,
    )
    fleet = Fleet(fleet_options)
    begun_ms = fleet.begin_ms(options.messages)
    some = itertools.islice(turns(fleet_options), options.messages)
    made = iter([(turn.ven, fleet.message(turn, begun_ms + turn.offset_ms)) for turn in some])
    async with AsyncExitStack() as stack:
        names = [f"{options.prefix}-link-{number}" for number in range(fleet_options.connections)]
        links = [await stack.enter_async_context(Publisher(options.host, options.port, name)) for name in names]
        _say("ready")
        while order := (await asyncio.to_thread(sys.stdin.readline)).split():
            messages, rate = int(order[0]), float(order[1])
            begun, cpu, accepted = time.monotonic(), _cpu_seconds(), len(fleet.ledger)
            for number, (ven, message) in enumerate(itertools.islice(made, messages)):
                if rate and (ahead := begun + number / rate - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                link = links[ven % len(links)]
                await link.room()
                link.send(*message)
                if number % 32 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*(link.drain(_DRAIN_SECONDS) for link in links))
            seconds = time.monotonic() - begun
            _say(json.dumps(asdict(Published(len(fleet.ledger) - accepted, seconds, _cpu_seconds() - cpu))))
    fleet.ledger.write(Path(options.ledger))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    asyncio.run(_generate(LoadOptions(**json.loads(sys.argv[1]))))
