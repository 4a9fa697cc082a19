"""`gateway certs`: its options and its output."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.base.errors import GatewayError

app = typer.Typer(help="Create a private CA, certificates and passwords.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--folder", help="Folder of the certificates.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="Validity of the certificates in days.")]


@app.command()
def make(
    folder: Folder = Path("certs"),
    env: Annotated[Path, typer.Option(help="File for the passwords of compose.yaml.")] = Path(".env"),
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address by which VENs reach the MQTT broker; may be repeated.")
    ] = None,
    days: Days = 730,
) -> None:
    """Create what compose.yaml needs: a CA, certificates for the broker and the bridge, and .env.

    Existing files are never overwritten.
    """
    from gateway.certs.environment import missing_in, write_environment
    from gateway.certs.folder import Certificates

    made = Certificates(folder).make(host or [], days)
    if not env.exists():
        write_environment(env)
        made.append(env)
    elif lacking := missing_in(env):
        raise GatewayError(f"{env} exists and lacks {', '.join(lacking)}; add them, or move the file away")
    if not made:
        raise GatewayError(f"{folder} and {env} are complete; to create a part again, move it away first")
    for path in made:
        print(f"created {path}")


@app.command()
def ven(
    ven_id: Annotated[str, typer.Argument(help="Id of the VEN; also its MQTT identity.")],
    folder: Folder = Path("certs"),
    days: Days = 730,
) -> None:
    """Create the client certificate of one VEN; copy the files of its folder to the device."""
    from gateway.certs.folder import Certificates

    print(f"created {Certificates(folder).ven(ven_id, days)}")
