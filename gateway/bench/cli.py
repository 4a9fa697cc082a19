"""`gateway bench`: the options of the benchmarks."""

from typing import Annotated

import typer

from gateway.interruptible import run_until_interrupted

app = typer.Typer(
    help="Measure the gateway on this machine. Each benchmark starts its own servers and deletes their data.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Vens = Annotated[int, typer.Option(min=1, max=100_000, help="Number of homes.")]


@app.command()
def ingest(
    messages: Annotated[int, typer.Option(min=1, help="Metering samples to publish, with 8 loads each.")] = 100_000,
    vens: Vens = 1000,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Number of runs; medians are printed.")] = 1,
    baseline: Annotated[
        bool,
        typer.Option("--baseline", help="Alternate with the least Python for the same path, and print ratios."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the cost of a message at full speed, for each process."""
    from gateway.bench.ingest import IngestOptions, bench_ingest

    options = IngestOptions(messages, vens, runs, baseline, as_json)
    run_until_interrupted(lambda stop: bench_ingest(options, stop))


@app.command()
def latency(
    messages: Annotated[int, typer.Option(min=1000, help="Samples to measure the sustained rate with.")] = 50_000,
    vens: Vens = 1000,
    seconds: Annotated[float, typer.Option(min=5, help="Duration of each load.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Measure the time from publishing a sample to REST, at 50% and 90% of the sustained rate."""
    from gateway.bench.latency import LatencyOptions, bench_latency

    options = LatencyOptions(messages, vens, seconds, as_json)
    run_until_interrupted(lambda stop: bench_latency(options, stop))


@app.command()
def scale(
    messages: Annotated[int, typer.Option(min=1000, help="Samples of each run.")] = 50_000,
    vens: Vens = 1000,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Maximum number of workers of a role.")] = 4,
    as_json: Json = False,
) -> None:
    """Measure the rate with more workers of each stream role, and show what limits it."""
    from gateway.bench.scale import ScaleOptions, bench_scale

    options = ScaleOptions(messages, vens, workers, as_json)
    run_until_interrupted(lambda stop: bench_scale(options, stop))


@app.command()
def backpressure(
    vens: Vens = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of the overload.")] = 60.0,
    times: Annotated[float, typer.Option(min=1, help="Overload, as a multiple of the sustained rate.")] = 10.0,
    speed: Annotated[float, typer.Option(min=0.02, max=1, help="Share of the time that our processes may run.")] = 0.06,
    as_json: Json = False,
) -> None:
    """Publish a multiple of the sustained rate; measure memory, the backlog and how it drains."""
    from gateway.bench.backpressure import BackpressureOptions, bench_backpressure

    options = BackpressureOptions(vens, seconds, times, speed, as_json)
    run_until_interrupted(lambda stop: bench_backpressure(options, stop))


@app.command()
def live(
    few: Annotated[int, typer.Option(min=1, help="VENs online in the first measurement.")] = 100,
    many: Annotated[int, typer.Option(min=2, help="VENs online in the second measurement.")] = 100_000,
    requests: Annotated[int, typer.Option(min=1, help="Requests of each measurement.")] = 2000,
    as_json: Json = False,
) -> None:
    """Measure GET /api/stats/network with few and with many VENs online."""
    from gateway.bench.live import LiveOptions, bench_live

    options = LiveOptions(few, many, requests, as_json)
    run_until_interrupted(lambda stop: bench_live(options, stop))


@app.command()
def api(
    vens: Annotated[int, typer.Option(min=100, max=200_000, help="Homes in the database.")] = 2000,
    readings: Annotated[int, typer.Option(min=1000, help="Their readings of the last 24 hours.")] = 200_000,
    loads: Annotated[int, typer.Option(min=0, max=64, help="Loads of each reading.")] = 8,
    clients: Annotated[int, typer.Option(min=1, max=500, help="Concurrent clients.")] = 20,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each route.")] = 400,
    grow_to: Annotated[int, typer.Option(min=0, help="Then add homes up to this number of readings, and repeat.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure the REST calls of dashboards on a database with one day of history."""
    from gateway.bench.api import ApiOptions, bench_api

    options = ApiOptions(vens, readings, loads, clients, requests, grow_to, as_json)
    run_until_interrupted(lambda stop: bench_api(options, stop))


@app.command()
def events(
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="VENs that the event addresses.")] = 5000,
    as_json: Json = False,
) -> None:
    """Start a DR event and measure when its commands pass each step, up to the last VEN."""
    from gateway.bench.events import EventsOptions, bench_events

    options = EventsOptions(vens, as_json)
    run_until_interrupted(lambda stop: bench_events(options, stop))


@app.command()
def feed(
    clients: Annotated[int, typer.Option(min=1, max=20_000, help="Clients that read.")] = 1000,
    stalled: Annotated[int, typer.Option(min=0, max=1000, help="Clients that connect and never read.")] = 5,
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Number of homes.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of the first phase, with live totals only.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Measure the delay and the cost of the live feed with many clients."""
    from gateway.bench.feed import FeedOptions, bench_feed

    options = FeedOptions(clients, stalled, vens, seconds, as_json)
    run_until_interrupted(lambda stop: bench_feed(options, stop))
