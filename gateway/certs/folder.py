"""The folder of certificates: one subfolder for each identity, readable by the owner only, never overwritten."""

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

from gateway.certs.authority import Authority, CertificatePair
from schemas.base.errors import GatewayError
from schemas.base.rejection import RejectedError
from schemas.parsing.common import check_ven_id
from schemas.settings.mqtt import MqttSettings

# deploy/mosquitto/acl lets this identity read everything and write commands. It is also the MQTT client id.
BRIDGE: str = MqttSettings.model_fields["mqtt_client_id"].default
CONTAINER_USER = 10_001
"""The user of the Dockerfile: owns the certificates when root creates them."""

_AUTHORITY, _BROKER, _BRIDGE, _VENS = "ca", "mosquitto", "bridge", "vens"
# The limit of a common name in a certificate, as UTF-8.
_MAX_BYTES = 64
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def owner() -> tuple[int, int]:
    """Return the user and group that containers run as, so that they can read the owner's files; never root."""
    return (os.getuid(), os.getgid()) if os.getuid() else (CONTAINER_USER, CONTAINER_USER)


class Certificates:
    """The folder with ca/, mosquitto/, bridge/ and vens/<id>/. Only ca/ contains the key of the CA."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, names: Sequence[str], days: int) -> list[Path]:
        """Create the missing ones of the CA and the certificates of broker and bridge; return the new folders.

        The broker's certificate is valid for the names in compose.yaml, for this machine, and for `names`.

        Raises:
            GatewayError: a certificate exists without its CA, a name is not valid, or the existing certificate of the
                broker lacks a name.
        """
        made = []
        names = [_as_host(name) for name in names]
        if not (self._folder / _AUTHORITY).exists():
            for signed in (_BROKER, _BRIDGE, _VENS):
                if (self._folder / signed).exists():
                    raise GatewayError(
                        f"{self._folder / signed} exists without {self._folder / _AUTHORITY}, the CA that signed it; "
                        "restore the CA, or move everything away to start over"
                    )
            authority = Authority.create("Grid-Event Gateway private CA")
            made.append(self._write(_AUTHORITY, {"ca.pem": authority.certificate, "ca.key": authority.pair.key}))
        authority = self._authority()
        if not (self._folder / _BROKER).exists():
            pair = authority.server(_all_hosts(names), days)
            made.append(self._write(_BROKER, _files("server", authority, pair)))
        elif lacking := [name for name in names if name not in self._broker_names()]:
            raise GatewayError(
                f"the certificate in {self._folder / _BROKER} does not name {', '.join(lacking)}; move the folder away "
                "and create it again with all names (the CA stays, so other certificates remain valid)"
            )
        if not (self._folder / _BRIDGE).exists():
            folder = self._write(_BRIDGE, _files("client", authority, authority.client(BRIDGE, days)))
            if os.getuid() == 0:
                for path in (folder, *folder.iterdir()):
                    os.chown(path, *owner())
            made.append(folder)
        return made

    def ven(self, ven_id: str, days: int) -> Path:
        """Create the certificate of one VEN and return its folder.

        Raises:
            GatewayError: the id cannot be in a certificate, there is no CA, or the VEN already has a certificate.
        """
        try:
            check_ven_id(ven_id)
        except RejectedError as error:
            raise GatewayError(f"{ven_id!r} is not a VEN id: {error}") from None
        if len(ven_id.encode()) > _MAX_BYTES or ven_id in (BRIDGE, ".", ".."):
            raise GatewayError(
                f"{ven_id!r} cannot be the identity in a certificate; use at most {_MAX_BYTES} bytes (é has two), "
                f"and not {BRIDGE}, which is the bridge's"
            )
        authority = self._authority()
        name = f"{_VENS}/{ven_id}"
        if (self._folder / name).exists():
            raise GatewayError(f"{self._folder / name} exists; move it away to create another certificate")
        return self._write(name, _files("client", authority, authority.client(ven_id, days)))

    def _authority(self) -> Authority:
        folder = self._folder / _AUTHORITY
        try:
            authority = Authority.load(
                CertificatePair((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes())
            )
        except (OSError, ValueError) as error:
            raise GatewayError(f"there is no CA in {folder} ({error}); run `gateway certs make` first") from None
        if authority.ends <= datetime.now(UTC):
            raise GatewayError(
                f"the CA in {folder} expired on {authority.ends:%Y-%m-%d}; move {self._folder} away to start over"
            )
        return authority

    def _broker_names(self) -> set[str]:
        """Return the names and addresses in the broker's certificate."""
        certificate = x509.load_pem_x509_certificate((self._folder / _BROKER / "server.pem").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}

    def _write(self, name: str, files: dict[str, bytes]) -> Path:
        """Write to a temporary folder and rename it, so that the final folder is always complete."""
        final, temporary = self._folder / name, self._folder / f".{name.replace('/', '-')}.new"
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(mode=0o700)
        for file, content in files.items():
            write_secret(temporary / file, content)
        temporary.rename(final)
        return final


def _as_host(name: str) -> str:
    """Return a host name or address in the form of certificates.

    Raises:
        GatewayError: it is neither.
    """
    with suppress(ValueError):
        return str(ip_address(name))
    if _HOST.fullmatch(name):
        return name
    raise GatewayError(
        f"{name!r} is not a host name or address; write it as mqtt.example.org or 192.0.2.7, and a name with other "
        "letters in its ASCII form (xn--…)"
    )


def _all_hosts(names: Sequence[str]) -> list[str]:
    own = [name for name in (socket.gethostname(),) if _HOST.fullmatch(name)]
    return list(dict.fromkeys([_BROKER, "localhost", "127.0.0.1", *own, *names]))


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read; raises FileExistsError if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _files(name: str, authority: Authority, pair: CertificatePair) -> dict[str, bytes]:
    return {"ca.pem": authority.certificate, f"{name}.pem": pair.certificate, f"{name}.key": pair.key}
