"""`gateway bench feed`: the cost of many feed clients for one API process, and the delay of messages."""

import asyncio
import json
import re
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from urllib.parse import urlsplit

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from gateway.bench.environment import environment
from gateway.fleet import Fleet, FleetOptions, publishing
from gateway.local.system import System
from gateway.stack.polling import wait_until
from schemas.base.errors import GatewayError

# Shorter than the default, so that stalled clients are disconnected during the benchmark.
QUEUE_ITEMS = 20
REQUEST = b"GET /api/feed HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CONNECT_SECONDS = 60
MOST_EVENTS = 10
EVENT_SECONDS = 4.0

# A regular expression is cheap; the clients share the machine with the API.
ITEM = re.compile(rb"\nid: (\d{16})-")


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Clients that read and that never read, homes, and the duration of the first phase."""

    clients: int
    stalled: int
    vens: int
    seconds: float
    as_json: bool


@dataclass(slots=True)
class FeedPhase:
    """One phase: the delay of each message at each client, in ms, and the cost of the API."""

    delays: list[float] = field(default_factory=list)
    megabytes: float = 0
    cpu_share: float = 0
    api_mb: float = 0

    def metrics(self) -> dict[str, float]:
        """Return rounded figures."""
        cuts = quantiles(self.delays, n=100) if len(self.delays) > 1 else [float("nan")] * 99
        return {
            "items": len(self.delays),
            "p50_ms": round(cuts[49], 1),
            "p95_ms": round(cuts[94], 1),
            "p99_ms": round(cuts[98], 1),
            "megabytes": round(self.megabytes, 1),
            "api_cpu_percent": round(100 * self.cpu_share, 1),
            "api_mb": round(self.api_mb, 1),
        }


class FeedClients:
    """The clients; `phase` is the current phase, `disconnected` counts reading clients that lost their connection."""

    def __init__(self, api: str) -> None:
        address = urlsplit(api)
        self._host, self._port = address.hostname or "", address.port or 0
        self.phase = FeedPhase()
        self.reading = 0
        self.disconnected = 0

    async def read(self) -> None:
        """Connect and read until the connection ends."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 18)
        writer.write(REQUEST)
        self.reading += 1
        try:
            while chunk := await reader.read(1 << 18):
                now = time.time_ns() // 1000
                self.phase.megabytes += len(chunk) / 1e6
                self.phase.delays += [(now - int(micros)) / 1000 for micros in ITEM.findall(chunk)]
            self.disconnected += 1
        finally:
            writer.transport.abort()

    async def stall(self) -> None:
        """Connect, send the request and never read."""
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stalled, (self._host, self._port))
            await loop.sock_sendall(stalled, REQUEST)
            await asyncio.Event().wait()


async def bench_feed(options: FeedOptions, stop: asyncio.Event) -> None:
    """Start everything with a small fleet, connect the clients, and measure.

    Raises:
        GatewayError: not all clients could connect, or a reading one was disconnected.
    """
    _allow_files(options.clients + options.stalled + 500)
    settings = {
        "API_FEED_QUEUE": str(QUEUE_ITEMS),
        "API_FEED_CLIENTS": str(options.clients + options.stalled),
    }
    async with environment(stop, settings) as env:
        if env is not None:
            async with publishing(_fleet(env.system, options.vens)):
                _print(options, await measure(env.system, options, env.progress))


async def measure(system: System, options: FeedOptions, progress: Callable[[str], None]) -> dict[str, object]:
    """Measure a running system."""
    clients = FeedClients(system.api)
    api = psutil.Process(system.workers["api"].process.pid)
    before_mb = api.memory_info().rss / 2**20
    async with _clients(clients, options):
        if not await wait_until(lambda: clients.reading == options.clients, CONNECT_SECONDS):
            raise GatewayError(f"only {clients.reading} of {options.clients} clients could connect")
        progress(f"{options.clients} clients; totals for {options.seconds:.0f} s …")
        totals = await _phase(clients, api, options.seconds)
        progress("starting DR events until the stalled clients are disconnected …")
        burst = FeedPhase()
        for _ in range(MOST_EVENTS):
            await _one_event(system.api)
            phase = await _phase(clients, api, EVENT_SECONDS)
            burst.delays += phase.delays
            burst.megabytes += phase.megabytes
            burst.cpu_share = max(burst.cpu_share, phase.cpu_share)
            burst.api_mb = max(burst.api_mb, phase.api_mb)
            if (cut_off := await _cut_off(system.api)) >= options.stalled:
                break
        if clients.disconnected:
            raise GatewayError(f"{clients.disconnected} reading clients were disconnected")
    return {
        "clients": options.clients,
        "stalled": options.stalled,
        "cut_off": cut_off,
        "api_mb_before": round(before_mb, 1),
        "totals": totals.metrics(),
        "events": burst.metrics(),
    }


def _fleet(system: System, vens: int) -> Fleet:
    return Fleet(FleetOptions(host=system.stack.mqtt_host, port=system.stack.mqtt_port, vens=vens, interval=2.0))


@asynccontextmanager
async def _clients(clients: FeedClients, options: FeedOptions) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(clients.stall()) for _ in range(options.stalled)]
    for _ in range(options.clients):
        tasks.append(asyncio.create_task(clients.read()))
        # One after the other, so that the listen queue does not overflow.
        await asyncio.sleep(0.002)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _phase(clients: FeedClients, api: psutil.Process, seconds: float) -> FeedPhase:
    phase = clients.phase = FeedPhase()
    before, begun = sum(api.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(seconds)
    phase.cpu_share = (sum(api.cpu_times()[:2]) - before) / (time.monotonic() - begun)
    phase.api_mb = api.memory_info().rss / 2**20
    return phase


async def _one_event(api: str) -> None:
    """Create a short event for the whole fleet; it ends before the next one begins."""
    end = datetime.now(UTC) + timedelta(seconds=EVENT_SECONDS - 1)
    body = {"startTime": end.isoformat(), "endTime": end.isoformat(), "requestedReductionKw": 5, "status": "active"}
    async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=30) as client:
        (await client.post("/api/events", json=body)).raise_for_status()


async def _cut_off(api: str) -> int:
    async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=30) as client:
        found = re.search(
            r"^gateway_feed_clients_cut_off_total (\S+)$", (await client.get("/metrics")).text, re.MULTILINE
        )
    return round(float(found[1])) if found else 0


def _allow_files(number: int) -> None:
    """Raise the limit of open files; each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))


def _print(options: FeedOptions, metrics: dict[str, object]) -> None:
    if options.as_json:
        sys.stdout.write(json.dumps(metrics) + "\n")
        return
    console = Console()
    table = Table(title=f"{options.clients} feed clients, and {options.stalled} stalled ones")
    names = ("p50_ms", "p95_ms", "p99_ms", "megabytes", "api_cpu_percent", "api_mb")
    for heading in ("", *names):
        table.add_column(heading, justify="right" if heading else "left")
    for phase in ("totals", "events"):
        found = metrics[phase]
        if isinstance(found, dict):
            table.add_row(phase, *(f"{found[name]:.1f}" for name in names))
    console.print(table)
    console.print(f"{metrics['cut_off']} of {options.stalled} stalled clients were disconnected")
