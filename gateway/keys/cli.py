"""The options of `gateway keys`."""

import sys
from typing import Annotated

import typer

from schemas.base.access_role import AccessRole
from schemas.base.errors import GatewayError

app = typer.Typer(help="Make, list and revoke the API's keys.", no_args_is_help=True)

_MOST_NAME = 128


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what is to have it; the audit shows it.")],
    role: Annotated[
        AccessRole,
        typer.Option(help="viewer reads; operator also creates events and sends commands; admin may everything."),
    ] = AccessRole.VIEWER,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days that it holds; without it, for ever.")] = None,
) -> None:
    """Make a key and print it: the one time that it is shown."""
    from gateway.keys.operations import create_key
    from gateway.local.database import with_database

    if not 0 < len(name) <= _MOST_NAME or not name.isprintable():
        raise GatewayError(f"the name of a key has 1 to {_MOST_NAME} characters that can be printed")
    made = with_database("keys", lambda pool, _stop: create_key(pool, name, role, days))
    sys.stderr.write(f"{made.key_id} ({role}) is made; keep the key below, it is shown only now:\n")
    print(made.text)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List all keys, revoked ones too."""
    from api.queries.keys import fetch_keys
    from gateway.keys.output import as_json_text, print_keys
    from gateway.local.database import with_database

    rows = with_database("keys", lambda pool, _stop: fetch_keys(pool))
    if as_json:
        print(as_json_text(rows))
    else:
        print_keys(rows)


@app.command()
def revoke(ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `gateway keys list` shows it.")]) -> None:
    """Revoke keys: within seconds they open nothing any more, and within a minute feeds that they opened end."""
    from gateway.keys.operations import revoke_keys
    from gateway.local.database import with_database

    for name in with_database("keys", lambda pool, _stop: revoke_keys(pool, ids)):
        print(f"{name} is revoked")
