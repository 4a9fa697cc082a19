"""`gateway keys`: its options and its output."""

import sys
from typing import Annotated

import typer

from schemas.base.access_role import AccessRole
from schemas.base.errors import GatewayError

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

_MAX_NAME = 128


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who uses the key; the audit shows this name.")],
    role: Annotated[
        AccessRole,
        typer.Option(
            help="viewer may read; operator may also create events and send commands; admin may do everything."
        ),
    ] = AccessRole.VIEWER,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Valid for so many days; without it, for ever.")
    ] = None,
) -> None:
    """Create an API key and print it. It is never shown again."""
    from gateway.keys.operations import create_key
    from gateway.local.database import with_database

    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise GatewayError(f"the name must have 1 to {_MAX_NAME} printable characters")
    made = with_database("keys", lambda pool, _stop: create_key(pool, name, role, days))
    sys.stderr.write(f"Created {made.key_id} ({role}). Keep the key below; it is not shown again:\n")
    print(made.text)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List all API keys, including revoked ones."""
    from api.queries.keys import fetch_keys
    from gateway.keys.output import as_json_text, print_keys
    from gateway.local.database import with_database

    rows = with_database("keys", lambda pool, _stop: fetch_keys(pool))
    if as_json:
        print(as_json_text(rows))
    else:
        print_keys(rows)


@app.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `gateway keys list` shows them.")],
) -> None:
    """Revoke API keys.

    They stop working within seconds. Live feeds opened with them end within a minute.
    """
    from gateway.keys.operations import revoke_keys
    from gateway.local.database import with_database

    for name in with_database("keys", lambda pool, _stop: revoke_keys(pool, ids)):
        print(f"Revoked {name}.")
