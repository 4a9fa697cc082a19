"""The `gateway` command."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.certs.cli import app as certs
from gateway.deadletters.cli import app as deadletters
from gateway.keys.cli import app as keys
from runtime.logs import configure_logging
from runtime.process import run
from schemas.base.errors import GatewayError
from streams.roles import Role

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("grid-event-gateway"))
        raise typer.Exit


@app.callback()
def command(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Grid-Event Gateway: the streaming back-end for demand response."""


Broker = Literal["auto", "mosquitto", "artemis"]
# What a process may take beyond the time for draining, to close its connections.
GRACE_SECONDS = 1.0

DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder for the data of the servers.")]


def main() -> None:
    """Run the command; what is wrong is one plain sentence and a non-zero exit."""
    wrong = False
    try:
        app()
    except* GatewayError as errors:  # also from work that was done side by side
        sys.stderr.write(f"gateway: {_first(errors)}\n")
        wrong = True
    if wrong:
        sys.exit(1)


def _first(errors: BaseExceptionGroup[GatewayError]) -> GatewayError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


@app.command()
def demo(
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Homes in the simulated fleet.")] = 200,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two samples of a home.")] = 5.0,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End after this time; without it, Ctrl-C ends it.")
    ] = None,
    data: DataFolder = None,
    mqtt: Annotated[Broker, typer.Option(help="The MQTT broker to start.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the figures at the end.")] = False,
) -> None:
    """Bring everything up with a simulated fleet; exits 0 only if the books balance."""
    from gateway.demo.run import DemoOptions, run_demo

    options = DemoOptions(vens, interval, seconds, data, mqtt, as_json)
    if not _until_interrupted(lambda stop: run_demo(options, stop)):
        raise GatewayError("the books do not balance: the figures above say what is missing, or came twice")


@app.command()
def up(
    data: DataFolder = None,
    mqtt: Annotated[Broker, typer.Option(help="The MQTT broker to start.")] = "auto",
) -> None:
    """Bring up the servers and all processes, without a fleet, until Ctrl-C; addresses go to DATA/endpoints.json."""
    from gateway.local.up import run_up

    folder = data or Path(".gateway/data")
    _until_interrupted(lambda stop: run_up(folder, mqtt, stop))


@app.command()
def simulate(
    mqtt: Annotated[str, typer.Option(help="The broker, as HOST:PORT.")],
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Homes in the fleet.")] = 200,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two samples of a home.")] = 5.0,
    messages: Annotated[int | None, typer.Option(min=1, help="End after this many samples.")] = None,
    rate: Annotated[float | None, typer.Option(min=1, help="Messages/s in all; sets the clock aside.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Write what was published and accepted to this file.")] = None,
    loads: Annotated[bool, typer.Option(help="Send load snapshots too.")] = True,
    replay: Annotated[Path | None, typer.Option(help="Replay a recording (JSON lines) instead.")] = None,
    speed: Annotated[float, typer.Option(min=0, help="Of a replay: 1 is real time, 0 as fast as possible.")] = 0,
    now: Annotated[bool, typer.Option("--now", help="Shift a replay so that it begins now.")] = False,
    seed: Annotated[int, typer.Option(help="Another number is another fleet.")] = 1,
    commands: Annotated[bool, typer.Option(help="Receive commands; not with --rate.")] = True,
    faults: Annotated[bool, typer.Option("--faults", help="Let a quarter of the homes misbehave.")] = False,
    behaviours: Annotated[
        str | None, typer.Option(help="Which of them misbehave instead, as slow=0.1,refuses=0.05,silent=0.05.")
    ] = None,
) -> None:
    """Publish a simulated fleet, or a recording, to any MQTT broker."""
    from gateway.fleet.simulate import SimulateOptions, run_simulate

    host, port = _address(mqtt)
    options = SimulateOptions(
        host=host,
        port=port,
        vens=vens,
        interval=interval,
        messages=messages,
        rate=rate,
        ledger=ledger,
        loads=loads,
        recording=replay,
        speed=speed,
        shift_to_now=now,
        seed=seed,
        commands=commands,
        faults=faults,
        behaviours=behaviours,
    )
    _until_interrupted(lambda stop: run_simulate(options, stop))


bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command()
def ingest(
    messages: Annotated[int, typer.Option(min=1, help="Metering samples to publish, of 8 loads each.")] = 100_000,
    vens: Annotated[int, typer.Option(min=1, max=100_000, help="Homes they come from.")] = 1000,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often; medians are printed.")] = 1,
    floor: Annotated[bool, typer.Option("--floor", help="Run the least Python beside, in turn, for ratios.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Publish at full speed and print what a message costs, process by process."""
    from gateway.bench.ingest import IngestOptions, bench_ingest

    options = IngestOptions(messages, vens, runs, floor, as_json)
    _until_interrupted(lambda stop: bench_ingest(options, stop))


app.add_typer(deadletters, name="deadletters")
app.add_typer(keys, name="keys")
app.add_typer(certs, name="certs")


@bench.command()
def latency(
    messages: Annotated[int, typer.Option(min=1000, help="Samples by which the sustained rate is found.")] = 50_000,
    vens: Annotated[int, typer.Option(min=1, max=100_000, help="Homes they come from.")] = 1000,
    seconds: Annotated[float, typer.Option(min=5, help="How long each rate is probed.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time a sample from its publishing to REST, at half and at nine tenths of the sustained rate."""
    from gateway.bench.latency import LatencyOptions, bench_latency

    options = LatencyOptions(messages, vens, seconds, as_json)
    _until_interrupted(lambda stop: bench_latency(options, stop))


@bench.command()
def scale(
    messages: Annotated[int, typer.Option(min=1000, help="Samples of each run.")] = 50_000,
    vens: Annotated[int, typer.Option(min=1, max=100_000, help="Homes they come from.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Workers of a role at most.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Give each stream role more workers, one role after the other, and say what bounds the rate."""
    from gateway.bench.scale import ScaleOptions, bench_scale

    options = ScaleOptions(messages, vens, workers, as_json)
    _until_interrupted(lambda stop: bench_scale(options, stop))


@bench.command()
def backpressure(
    vens: Annotated[int, typer.Option(min=1, max=100_000, help="Homes in the fleet.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="How long too much is published.")] = 60.0,
    times: Annotated[float, typer.Option(min=1, help="How many times the sustained rate.")] = 10.0,
    speed: Annotated[float, typer.Option(min=0.02, max=1, help="The share of the time that processes run.")] = 0.06,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Publish many times the rate that is sustained, and watch memory, the backlog, and how it drains."""
    from gateway.bench.backpressure import BackpressureOptions, bench_backpressure

    options = BackpressureOptions(vens, seconds, times, speed, as_json)
    _until_interrupted(lambda stop: bench_backpressure(options, stop))


@bench.command("live")
def bench_live_command(
    few: Annotated[int, typer.Option(min=1, help="VENs online at first.")] = 100,
    many: Annotated[int, typer.Option(min=2, help="VENs online then.")] = 100_000,
    requests: Annotated[int, typer.Option(min=1, help="How often the call is timed each time.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Time the live totals of the network with few VENs online and with many."""
    from gateway.bench.live import LiveOptions, bench_live

    options = LiveOptions(few, many, requests, as_json)
    _until_interrupted(lambda stop: bench_live(options, stop))


@bench.command("api")
def bench_api_command(
    vens: Annotated[int, typer.Option(min=100, max=200_000, help="Homes in the database.")] = 2000,
    readings: Annotated[int, typer.Option(min=1000, help="Their readings of the last 24 hours.")] = 200_000,
    loads: Annotated[int, typer.Option(min=0, max=64, help="Loads of each reading.")] = 8,
    clients: Annotated[int, typer.Option(min=1, max=500, help="Clients at once.")] = 20,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each call.")] = 400,
    grow_to: Annotated[int, typer.Option(min=0, help="Then add homes up to so many readings, and look again.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time the calls of dashboards on a database filled with the past of a fleet."""
    from gateway.bench.api import ApiOptions, bench_api

    options = ApiOptions(vens, readings, loads, clients, requests, grow_to, as_json)
    _until_interrupted(lambda stop: bench_api(options, stop))


@bench.command("events")
def bench_events_command(
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Homes that are told of the event.")] = 5000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Start a DR event, and time its commands step by step, until the last VEN has been told."""
    from gateway.bench.events import EventsOptions, bench_events

    options = EventsOptions(vens, as_json)
    _until_interrupted(lambda stop: bench_events(options, stop))


@bench.command()
def feed(
    clients: Annotated[int, typer.Option(min=1, max=20_000, help="Clients that read.")] = 1000,
    deaf: Annotated[int, typer.Option(min=0, max=1000, help="Clients that do not.")] = 5,
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Homes that they hear of.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="How long the totals are listened to.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how late many clients of the feed hear of things, and what they cost."""
    from gateway.bench.feed import FeedOptions, bench_feed

    options = FeedOptions(clients, deaf, vens, seconds, as_json)
    _until_interrupted(lambda stop: bench_feed(options, stop))


@app.command()
def bridge() -> None:
    """Run the bridge between MQTT and the log."""
    from bridge.main import BridgeConfig, run_bridge

    config = BridgeConfig.load()
    run("bridge", lambda stop: run_bridge(config, stop), grace=config.bridge.shutdown_timeout + GRACE_SECONDS)


@app.command()
def streams(role: Annotated[Role | None, typer.Argument(help="Without it, all three.")] = None) -> None:
    """Run one stream role, or all three as processes."""
    if role is None:
        from gateway.local.role_supervisor import run_all_roles

        run("streams", run_all_roles)
        return
    from streams.main import StreamsConfig, run_role

    config = StreamsConfig.load(role)
    run(f"streams-{role}", lambda stop: run_role(config, stop), grace=config.streams.shutdown_timeout + GRACE_SECONDS)


@app.command()
def api() -> None:
    """Run the REST API."""
    from api.app import ApiConfig
    from api.main import serve_api

    config = ApiConfig.load()
    configure_logging("api")
    serve_api(config)


@app.command()
def openapi() -> None:
    """Print the description of the REST API (OpenAPI, YAML)."""
    from api.app import describe

    sys.stdout.write(describe())


@app.command()
def asyncapi() -> None:
    """Print the description of the messages over MQTT and in the log (AsyncAPI, YAML)."""
    from gateway.asyncapi.document import describe_messages

    sys.stdout.write(describe_messages())


@app.command("migrate")
def migrate_command(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the database to come up.")] = 60,
) -> None:
    """Bring the database's tables up to date."""
    from migrations.run import migrate
    from schemas.settings.blocks import DatabaseSettings

    settings = DatabaseSettings.load()
    run("migrate", lambda _stop: migrate(settings, wait_seconds=wait), grace=0)
    print("the tables are up to date")


@app.command()
def topics(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the log to come up.")] = 60,
    registry: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Register their schemas there too, instead of at SCHEMA_REGISTRY_URL."),
    ] = None,
) -> None:
    """Create the log's topics that are missing, and list all; with a schema registry, register their schemas."""
    from gateway.asyncapi.schema_registry import register_schemas
    from runtime.kafka import ensure_topics
    from schemas.settings.blocks import KafkaSettings, RegistrySettings

    settings = KafkaSettings.load()
    where = registry or RegistrySettings.load().schema_registry_url.get_secret_value()

    async def create(_stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(wait):
                report = await ensure_topics(settings)
        except TimeoutError:
            servers = settings.kafka_bootstrap_servers
            raise GatewayError(f"{servers} did not answer within {wait:.0f} s; check KAFKA_BOOTSTRAP_SERVERS") from None
        for name, topic in settings.topics:
            state = "created" if name in report.created else "exists"
            print(f"{state:8} {report.partitions[name]:4} partitions  {name:45} {topic.key} -> {topic.value}")
        if where:
            async for subject, schema_id in register_schemas(where, settings.topics):
                print(f"schema   {schema_id:4} is that of    {subject}")

    run("topics", create, level="WARNING", grace=0)


@app.command()
def doctor() -> None:
    """Check every setting and every server, and say what to do."""
    from gateway.diagnostics.doctor import run_doctor

    if not _until_interrupted(lambda _stop: run_doctor()):
        raise GatewayError("not all is well; the lines marked ✗ say what to do")


def _until_interrupted(work: Callable[[asyncio.Event], Awaitable[object]]) -> bool:
    """Run work that ends at Ctrl-C; returns False when it returned False."""
    outcome: list[object] = []

    async def keep_outcome(stop: asyncio.Event) -> None:
        outcome.append(await work(stop))

    run("gateway", keep_outcome, level="WARNING")
    return outcome != [False]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:  # noqa: PLR2004 - the ports there are
        raise GatewayError(f"--mqtt is HOST:PORT, not {text!r}")
    return host, int(port)
