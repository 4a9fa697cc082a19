"""The `gateway` command: a table of contents of its subcommands. Each is defined beside its capability."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from gateway.asyncapi.cli import asyncapi, openapi
from gateway.bench.cli import app as bench
from gateway.certs.cli import app as certs
from gateway.deadletters.cli import app as deadletters
from gateway.demo.cli import demo
from gateway.diagnostics.cli import doctor
from gateway.fleet.cli import simulate
from gateway.keys.cli import app as keys
from gateway.local.cli import up
from gateway.processes.cli import api, bridge, streams
from gateway.provisioning.cli import migrate, topics
from schemas.base.errors import GatewayError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

TRY, RUN, SET_UP, OPERATE, DESCRIBE = "Try it", "Run a process", "Set up", "Operate", "Describe"

app.command(rich_help_panel=TRY)(demo)
app.command(rich_help_panel=TRY)(up)
app.command(rich_help_panel=TRY)(simulate)
app.add_typer(bench, name="bench", rich_help_panel=TRY)
app.command(rich_help_panel=RUN)(bridge)
app.command(rich_help_panel=RUN)(streams)
app.command(rich_help_panel=RUN)(api)
app.add_typer(certs, name="certs", rich_help_panel=SET_UP)
app.command(rich_help_panel=SET_UP)(migrate)
app.command(rich_help_panel=SET_UP)(topics)
app.command(rich_help_panel=SET_UP)(doctor)
app.add_typer(keys, name="keys", rich_help_panel=OPERATE)
app.add_typer(deadletters, name="deadletters", rich_help_panel=OPERATE)
app.command(rich_help_panel=DESCRIBE)(openapi)
app.command(rich_help_panel=DESCRIBE)(asyncapi)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("grid-event-gateway"))
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Grid-Event Gateway: connects homes (VENs) over MQTT, Kafka and PostgreSQL to dashboards and demand response.

    Start with `gateway demo`. All processes read their settings from the environment and from .env.
    """


def main() -> None:
    """Run the command. An error is one sentence on standard error, and exit code 1."""
    failed = False
    try:
        app()
    except* GatewayError as errors:  # a group when tasks ran side by side
        sys.stderr.write(f"gateway: {_first(errors)}\n")
        failed = True
    if failed:
        sys.exit(1)


def _first(errors: BaseExceptionGroup[GatewayError]) -> GatewayError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
