"""Where certificates are kept: a folder for each who is given one, its files for the owner alone, none overwritten."""

import os
import re
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from gateway.certs.authority import Authority, Pair
from schemas.base.errors import GatewayError
from schemas.base.rejection import RejectedError
from schemas.parsing.common import check_ven_id
from schemas.settings.mqtt import MqttSettings

# The identity that deploy/mosquitto/acl lets read all and write commands. Its session goes by this name too.
BRIDGE: str = MqttSettings.model_fields["mqtt_client_id"].default
CONTAINER_USER = 10_001
"""Who the processes in containers are where no ordinary user made the certificates; as in the Dockerfile."""

_AUTHORITY, _BROKER, _BRIDGE, _VENS = "ca", "mosquitto", "bridge", "vens"
# A common name in a certificate has no more, as UTF-8.
_MOST_BYTES = 64
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def owner() -> tuple[int, int]:
    """Whom the processes in containers run as, so that they may read what is the owner's alone; never root."""
    return (os.getuid(), os.getgid()) if os.getuid() else (CONTAINER_USER, CONTAINER_USER)


class Certificates:
    """The folder: ca/, mosquitto/, bridge/ and vens/<id>/; the key of the CA is in the first only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, names: Sequence[str], days: int) -> list[Path]:
        """Make what is missing of the CA, the broker's certificate, and the bridge's; returns it.

        The broker is reached as in compose.yaml, from this machine, and under `names`.

        Raises:
            GatewayError: the CA is missing, and what it has signed is there; a name is none that a server can have; or
                the broker's certificate is there already, under other names.
        """
        made = []
        names = [_as_host(name) for name in names]
        if not (self._folder / _AUTHORITY).exists():
            for signed in (_BROKER, _BRIDGE, _VENS):
                if (self._folder / signed).exists():
                    raise GatewayError(
                        f"{self._folder / signed} is there without {self._folder / _AUTHORITY}, the CA that signed it; "
                        "put the CA back, or move all of it away to begin anew"
                    )
            authority = Authority.create("Grid-Event Gateway private CA")
            made.append(self._write(_AUTHORITY, {"ca.pem": authority.certificate, "ca.key": authority.pair.key}))
        authority = self._authority()
        if not (self._folder / _BROKER).exists():
            pair = authority.server(_all_hosts(names), days)
            made.append(self._write(_BROKER, _files("server", authority, pair)))
        elif lacking := [name for name in names if name not in self._broker_names()]:
            raise GatewayError(
                f"{self._folder / _BROKER} is there already, and its certificate does not name {', '.join(lacking)}; "
                "move the folder away, and make it anew with all names: the CA stays, so nobody else notices"
            )
        if not (self._folder / _BRIDGE).exists():
            folder = self._write(_BRIDGE, _files("client", authority, authority.client(BRIDGE, days)))
            if os.getuid() == 0:
                for path in (folder, *folder.iterdir()):
                    os.chown(path, *owner())
            made.append(folder)
        return made

    def ven(self, ven_id: str, days: int) -> Path:
        """Make the certificate of one VEN and return its folder, which is what the device is given.

        Raises:
            GatewayError: the id cannot be one in a certificate, there is no CA yet, or the VEN has a certificate.
        """
        try:
            check_ven_id(ven_id)
        except RejectedError as error:
            raise GatewayError(f"{ven_id!r} is no VEN id: {error}") from None
        if len(ven_id.encode()) > _MOST_BYTES or ven_id in (BRIDGE, ".", ".."):
            raise GatewayError(
                f"{ven_id!r} cannot be the identity of a VEN's certificate; take up to {_MOST_BYTES} bytes (letters "
                f"such as é have two), and not {BRIDGE}, which is the bridge's"
            )
        authority = self._authority()
        name = f"{_VENS}/{ven_id}"
        if (self._folder / name).exists():
            raise GatewayError(f"{self._folder / name} is there already; move it away to have another one made")
        return self._write(name, _files("client", authority, authority.client(ven_id, days)))

    def _authority(self) -> Authority:
        folder = self._folder / _AUTHORITY
        try:
            authority = Authority.load(Pair((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()))
        except (OSError, ValueError) as error:
            raise GatewayError(f"there is no CA in {folder} ({error}); run gateway certs make first") from None
        if authority.ends <= datetime.now(UTC):
            raise GatewayError(
                f"the CA in {folder} expired at {authority.ends:%Y-%m-%d}, and nobody takes what it signs; move "
                f"all of {self._folder} away to begin anew"
            )
        return authority

    def _broker_names(self) -> set[str]:
        """Under which names and addresses the broker's certificate was made."""
        certificate = x509.load_pem_x509_certificate((self._folder / _BROKER / "server.pem").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}

    def _write(self, name: str, files: dict[str, bytes]) -> Path:
        """Written beside its place and then moved, so that a folder of that name is always a whole one."""
        place, fresh = self._folder / name, self._folder / f".{name.replace('/', '-')}.new"
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        for file, content in files.items():
            write_secret(fresh / file, content)
        fresh.rename(place)
        return place


def _as_host(name: str) -> str:
    """Return a name or address as certificates have it.

    Raises:
        GatewayError: no server has such a name.
    """
    with suppress(ValueError):
        return str(ip_address(name))
    if _HOST.fullmatch(name):
        return name
    raise GatewayError(
        f"{name!r} is no name of a server; write it as mqtt.example.org or 192.0.2.7, and one with other letters in "
        "its ASCII form (xn--…)"
    )


def _all_hosts(names: Sequence[str]) -> list[str]:
    own = [name for name in (socket.gethostname(),) if _HOST.fullmatch(name)]
    return list(dict.fromkeys([_BROKER, "localhost", "127.0.0.1", *own, *names]))


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read; raises FileExistsError where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _files(name: str, authority: Authority, pair: Pair) -> dict[str, bytes]:
    return {"ca.pem": authority.certificate, f"{name}.pem": pair.certificate, f"{name}.key": pair.key}
