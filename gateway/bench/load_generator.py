"""The load of a benchmark: a fleet whose messages are generated before the run, or while it publishes.

It is a separate process (`python -m gateway.bench.load_generator`) that reads orders line by line, so that its CPU time
is measured separately. Messages generated before the run cost little CPU during it; messages generated while publishing
are unlimited. Each gets its timestamp when it is published. An older timestamp would count as late.
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
_INTERVAL = 0.5  # below a second, timestamps are in milliseconds: a home publishes often in one second


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Samples of `vens` homes whose ids begin with `prefix`, published on `topic`.

    If `messages` is None, they are unlimited, and each is generated when it is published.
    """

    messages: int | None
    vens: int
    prefix: str
    topic: str

    def some_vens(self, number: int) -> list[str]:
        """Return the ids of about `number` homes, evenly spread."""
        fleet = FleetOptions(host="", port=0, vens=self.vens, prefix=self.prefix)
        return [fleet.ven_id(index) for index in range(0, self.vens, max(1, self.vens // number))]


@dataclass(frozen=True, slots=True)
class _Order:
    """The arguments of the process."""

    plan: LoadPlan
    host: str
    port: int
    ledger: str


@dataclass(frozen=True, slots=True)
class PublishResult:
    """One order: messages that the broker accepted, seconds, and CPU seconds of the generator."""

    messages: int
    seconds: float
    cpu_s: float


class LoadGenerator:
    """Controls the process of the generator."""

    def __init__(self, process: asyncio.subprocess.Process, ledger: Path) -> None:
        self._process = process
        self._ledger = ledger

    async def publish(self, messages: int, rate: float = 0) -> PublishResult:
        """Publish the next messages, `rate` per second, or as fast as the broker accepts them if it is 0.

        Raises:
            GatewayError: the generator ended; its message is on standard error.
        """
        if self._process.stdin is None:
            raise GatewayError("the load generator has no standard input")
        self._process.stdin.write(f"{messages} {rate}\n".encode())
        return PublishResult(**json.loads(await _line(self._process)))

    async def ledger(self) -> PublishLedger:
        """End the process, and return its ledger of published and accepted samples."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if await self._process.wait():
            raise GatewayError("the load generator failed; its message is above")
        return await asyncio.to_thread(PublishLedger.read, self._ledger)


@asynccontextmanager
async def load_generator(env: BenchEnvironment, plan: LoadPlan) -> AsyncIterator[LoadGenerator]:
    """Run the process inside the block; on entry, the messages of the plan are generated."""
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
    measurements = _measurements(fleet)
    if plan.messages is not None:
        measurements = iter(list(itertools.islice(measurements, plan.messages)))
    to_come = _stamped(fleet, measurements)
    async with AsyncExitStack() as stack:
        names = [f"{options.prefix}-connection-{number}" for number in range(options.connections)]
        clients = [await stack.enter_async_context(_connection(options, name)) for name in names]
        # Otherwise the garbage collector scans all messages repeatedly and takes CPU from the system under test.
        gc.freeze()
        _print_line("ready")
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
            _print_line(json.dumps(asdict(PublishResult(len(fleet.ledger) - accepted, seconds, _cpu_seconds() - cpu))))
    fleet.ledger.write(Path(order.ledger))


@asynccontextmanager
async def _connection(options: FleetOptions, client_id: str) -> AsyncIterator[MqttClient]:
    _, client = await asyncio.get_running_loop().create_connection(MqttClient, options.host, options.port)
    try:
        await client.connect(client_id)
        yield client
    finally:
        client.close()


def _measurements(fleet: Fleet) -> Iterator[tuple[int, Measurement]]:
    begun_ms = round(time.time() * 1000)
    return ((turn.ven, fleet.measure(turn, begun_ms + turn.offset_ms)) for turn in slots(fleet.options))


def _stamped(fleet: Fleet, measurements: Iterable[tuple[int, Measurement]]) -> Iterator[tuple[int, Message]]:
    latest_ms = [0] * fleet.options.vens
    for ven, measured in measurements:
        # A home may publish twice in one millisecond, but two samples may not have the same time.
        time_ms = latest_ms[ven] = max(round(time.time() * 1000), latest_ms[ven] + 1)
        yield ven, fleet.record(measured.at(time_ms))


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    asyncio.run(_generate(msgspec.json.decode(sys.argv[1], type=_Order)))
