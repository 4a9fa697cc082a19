"""The load of a benchmark: a fleet whose messages are all made before the first is published, or each in its turn.

It is a process of its own (`python -m gateway.bench.load_generator`) that takes its orders line by line, so that its
CPU time can be told apart from that of the system it measures. Messages made before the run take little CPU during it;
messages made in their turn can be as many as one likes. Each is stamped when it is published, as devices do: an older
one is rolled up as late, and live totals leave it out.
"""

import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import psutil

from gateway.bench.environment import BenchEnvironment
from gateway.bench.mqtt_client import MqttClient
from gateway.fleet import Fleet, FleetOptions, PublishLedger
from gateway.fleet.fleet import Measurement, Message
from gateway.fleet.schedule import slots
from schemas.base.errors import GatewayError

_DRAIN_SECONDS = 120
_INTERVAL = 0.5  # below a second stamps are milliseconds: a home has many turns in a second


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """So many samples of so many homes whose ids begin with `prefix`, on `topic`.

    Without a number of `messages` there is no end of them, and each is made when it is published.
    """

    messages: int | None
    vens: int
    prefix: str
    topic: str

    def some_vens(self, number: int) -> list[str]:
        """The ids of about so many of the homes, evenly spread."""
        fleet = FleetOptions(host="", port=0, vens=self.vens, prefix=self.prefix)
        return [fleet.ven_id(index) for index in range(0, self.vens, max(1, self.vens // number))]


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process is told."""

    plan: LoadPlan
    host: str
    port: int
    ledger: str


@dataclass(frozen=True, slots=True)
class PublishResult:
    """One stretch: messages that the broker accepted, the seconds it took, and the CPU seconds of the generator."""

    messages: int
    seconds: float
    cpu_s: float


class LoadGenerator:
    """The process from outside."""

    def __init__(self, process: asyncio.subprocess.Process, ledger: Path) -> None:
        self._process = process
        self._ledger = ledger

    async def publish(self, messages: int, rate: float = 0) -> PublishResult:
        """Publish the next messages, `rate` a second or as fast as the broker takes them.

        Raises:
            GatewayError: the generator ended; its message is on standard error.
        """
        if self._process.stdin is None:
            raise GatewayError("the load generator takes no orders")
        self._process.stdin.write(f"{messages} {rate}\n".encode())
        return PublishResult(**json.loads(await _line(self._process)))

    async def ledger(self) -> PublishLedger:
        """End it, and read what it published and what of that the broker accepted."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if await self._process.wait():
            raise GatewayError("the load generator failed; its message is above")
        return await asyncio.to_thread(PublishLedger.read, self._ledger)


@asynccontextmanager
async def load_generator(env: BenchEnvironment, plan: LoadPlan) -> AsyncIterator[LoadGenerator]:
    """Have the process inside, with all its messages made."""
    stack, file = env.system.stack, env.folder / f"{plan.prefix}.jsonl"
    order = _Order(plan, stack.mqtt_host, stack.mqtt_port, str(file))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.load_generator", msgspec.json.encode(order).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _line(process)
        yield LoadGenerator(process, file)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    line = b"" if process.stdout is None else await process.stdout.readline()
    if not line:
        raise GatewayError("the load generator ended; its message is above")
    return line


async def _generate(order: _Order) -> None:
    plan = order.plan
    options = FleetOptions(
        host=order.host,
        port=order.port,
        vens=plan.vens,
        prefix=plan.prefix,
        metering_topic=plan.topic,
        loads_enabled=False,
        interval=_INTERVAL,
        rate=1.0,
    )
    fleet = Fleet(options)
    made = _made(fleet)
    to_come = _stamped(fleet, made if plan.messages is None else list(itertools.islice(made, plan.messages)))
    async with AsyncExitStack() as stack:
        names = [f"{options.prefix}-link-{number}" for number in range(options.connections)]
        clients = [await stack.enter_async_context(_link(options, name)) for name in names]
        # Else the messages are looked through for garbage over and over, which costs whom it is to measure, too.
        gc.freeze()
        _say("ready")
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            messages, rate = int(line[0]), float(line[1])
            begun, cpu, accepted = time.monotonic(), _cpu_seconds(), len(fleet.ledger)
            for number in range(messages):
                if rate and (ahead := begun + number / rate - time.monotonic()) > 0:
                    for client in clients:
                        client.flush()
                    await asyncio.sleep(ahead)
                ven, message = next(to_come)
                client = clients[ven % len(clients)]
                await client.wait_for_capacity()
                client.send(*message)
                if number % 32 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*(client.drain(_DRAIN_SECONDS) for client in clients))
            seconds = time.monotonic() - begun
            _say(json.dumps(asdict(PublishResult(len(fleet.ledger) - accepted, seconds, _cpu_seconds() - cpu))))
    fleet.ledger.write(Path(order.ledger))


@asynccontextmanager
async def _link(options: FleetOptions, client_id: str) -> AsyncIterator[MqttClient]:
    _, client = await asyncio.get_running_loop().create_connection(MqttClient, options.host, options.port)
    try:
        await client.connect(client_id)
        yield client
    finally:
        client.close()


def _made(fleet: Fleet) -> Iterator[tuple[int, Measurement]]:
    begun_ms = round(time.time() * 1000)
    return ((turn.ven, fleet.measure(turn, begun_ms + turn.offset_ms)) for turn in slots(fleet.options))


def _stamped(fleet: Fleet, made: Iterable[tuple[int, Measurement]]) -> Iterator[tuple[int, Message]]:
    latest_ms = [0] * fleet.options.vens
    for ven, measured in made:
        # A home may have its next turn in the same millisecond, and no two samples the same time.
        time_ms = latest_ms[ven] = max(round(time.time() * 1000), latest_ms[ven] + 1)
        yield ven, fleet.record(measured.at(time_ms))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    asyncio.run(_generate(msgspec.json.decode(sys.argv[1], type=_Order)))
