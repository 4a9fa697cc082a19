"""`gateway certs`: what `compose.yaml` needs before its first start, and a certificate for each VEN."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.base.errors import GatewayError

app = typer.Typer(help="Make a private CA, certificates and passwords.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--folder", help="Where certificates are kept.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificates are good, in days.")]


@app.command()
def make(
    folder: Folder = Path("certs"),
    env: Annotated[Path, typer.Option(help="The file of passwords for compose.yaml.")] = Path(".env"),
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address under which VENs reach the MQTT broker; repeat it.")
    ] = None,
    days: Days = 730,
) -> None:
    """Make what is missing of the CA, the certificates of the broker and the bridge, and .env; overwrites nothing."""
    from gateway.certs.environment import missing_in, write_environment
    from gateway.certs.folder import Certificates

    made = Certificates(folder).make(host or [], days)
    if not env.exists():
        write_environment(env)
        made.append(env)
    elif lacking := missing_in(env):
        raise GatewayError(f"{env} is there already and lacks {', '.join(lacking)}; add them, or move the file away")
    if not made:
        raise GatewayError(f"{folder} and {env} are there already; move away what you want to have made anew")
    for path in made:
        print(f"made {path}")


@app.command()
def ven(
    ven_id: Annotated[str, typer.Argument(help="The VEN's id, which is its MQTT identity too.")],
    folder: Folder = Path("certs"),
    days: Days = 730,
) -> None:
    """Make the client certificate of one VEN: what is in its folder goes to the device."""
    from gateway.certs.folder import Certificates

    print(f"made {Certificates(folder).ven(ven_id, days)}")
