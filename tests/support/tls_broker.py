"""The MQTT broker with the files of deploy/mosquitto, and certificates as `gateway certs` makes them."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.certs.authority import Authority, CertificatePair
from gateway.certs.folder import Certificates
from gateway.stack.polling import port_open, wait_until
from gateway.stack.ports import reserve_ports
from schemas.settings.mqtt import MqttSettings
from tests.support.mosquitto import MOSQUITTO
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy" / "mosquitto"


class TlsBroker:
    """A mosquitto with mutual TLS on loopback, and the folder of its certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = Certificates(folder / "certs")
        self.certificates.make(["localhost", "127.0.0.1"], days=2)
        self.port = reserve_ports(folder / "ports.json", ["mqtt"])["mqtt"]
        self.log = folder / "mosquitto.log"

    def ven(self, ven_id: str) -> Path:
        """Return the folder of a VEN's certificate; the first call makes it."""
        place = self.folder / "certs" / "vens" / ven_id
        return place if place.exists() else self.certificates.ven(ven_id, days=2)

    def expired(self) -> Path:
        """Make a certificate of our CA that expired yesterday."""
        ca = self.folder / "certs" / "ca"
        authority = Authority.load(CertificatePair((ca / "ca.pem").read_bytes(), (ca / "ca.key").read_bytes()))
        begins = datetime.now(UTC) - timedelta(days=3)
        return self._put("expired", authority, authority.client("ven-late", days=2, begins=begins))

    def stranger(self) -> Path:
        """A certificate under the name of the bridge, of a CA that nobody here trusts; with that CA."""
        authority = Authority.create("Another CA")
        return self._put("stranger", authority, authority.client("grid-event-gateway-bridge", days=2))

    def _put(self, name: str, authority: Authority, pair: CertificatePair) -> Path:
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for file, content in (
            ("ca.pem", authority.certificate),
            ("client.pem", pair.certificate),
            ("client.key", pair.key),
        ):
            (place / file).write_bytes(content)
        return place

    def settings(self, shown: Path | None = None, **given: Any) -> MqttSettings:
        """Return the settings of a bridge; `shown` is the folder of another certificate than its own."""
        own = self.folder / "certs" / "bridge"
        shown = shown or own
        values: dict[str, Any] = {
            "mqtt_host": "127.0.0.1",
            "mqtt_port": self.port,
            "mqtt_ca_cert": str(own / "ca.pem"),
            "mqtt_client_cert": str(shown / "client.pem"),
            "mqtt_client_key": str(shown / "client.key"),
        }
        return MqttSettings(**{**values, **given})

    def context(self, shown: Path | None) -> ssl.SSLContext:
        """Return the TLS context of a client that trusts our CA and shows the certificate of a folder, if any."""
        context = ssl.create_default_context(cafile=self.folder / "certs" / "ca" / "ca.pem")
        if shown is not None:
            context.load_cert_chain(shown / "client.pem", shown / "client.key")
        return context

    def client(self, shown: Path, identifier: str | None = None, **given: Any) -> aiomqtt.Client:
        """Connect as a VEN does."""
        return aiomqtt.Client("127.0.0.1", self.port, identifier=identifier, tls_context=self.context(shown), **given)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it with the files that compose.yaml mounts; only paths and the port differ."""
        assert MOSQUITTO is not None
        private = self.folder / "private"
        shutil.copytree(self.folder / "certs" / "mosquitto", private, dirs_exist_ok=True)
        shutil.copy(DEPLOY / "acl", private)
        (self.folder / "data").mkdir(exist_ok=True)
        text = (DEPLOY / "mosquitto.conf").read_text().replace("/mosquitto/", f"{self.folder}/")
        text = re.sub(r"^listener 8883$", f"listener {self.port} 127.0.0.1", text, flags=re.MULTILINE)
        if os.geteuid() == 0:
            text += "user root\n"
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(text)
        with self.log.open("ab") as log:
            process = subprocess.Popen([MOSQUITTO, "-c", configuration], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    async def up(self) -> bool:
        return await wait_until(lambda: port_open(self.port), 30)


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsBroker]:
    """One broker for all tests of a file."""
    broker = TlsBroker(tmp_path_factory.mktemp("tls-broker"))
    with broker.running():
        yield broker
