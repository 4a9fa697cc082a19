"""The broker of deploy/mosquitto accepts only valid certificates and current TLS."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.mosquitto import needs_mosquitto
from tests.support.tls_broker import TlsBroker, tls_broker

__all__ = ["tls_broker"]
pytestmark = needs_mosquitto


def connect(tls_broker: TlsBroker, context: ssl.SSLContext) -> str:
    """Connect as MQTT clients do; return `accepted`, `closed`, `reset`, or the reason of the TLS alert."""
    for patience in (0.2, 2.0, 10.0):
        # Data sent before the alert has arrived makes the broker reset the connection, and the reason is lost.
        with suppress(ConnectionError):
            return _connect(tls_broker, context, patience)
    return "reset"


def _connect(tls_broker: TlsBroker, context: ssl.SSLContext, patience: float) -> str:
    with socket.create_connection(("127.0.0.1", tls_broker.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                # TLS 1.3: the broker checks the certificate after the client has finished its handshake.
                connection.settimeout(patience)
                with suppress(TimeoutError):
                    connection.recv(1)
                connection.settimeout(10)
                connection.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test")
                return "accepted" if connection.recv(4) == b"\x20\x02\x00\x00" else "closed"
        except ssl.SSLError as error:
            return error.reason or "closed"


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (lambda tls_broker: tls_broker.ven("ven-good"), "accepted"),
        (TlsBroker.expired, "EXPIRED"),
        (TlsBroker.stranger, "UNKNOWN_CA"),
        (lambda _: None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
    ],
    ids=["good", "expired", "of another CA", "none"],
)
async def test_only_valid_certificates_are_accepted(
    tls_broker: TlsBroker, shown: Callable[[TlsBroker], Path | None], answer: str
) -> None:
    assert await tls_broker.up()
    assert re.search(answer, await asyncio.to_thread(connect, tls_broker, tls_broker.context(shown(tls_broker))))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_the_broker_refuses_tls_1_0(tls_broker: TlsBroker) -> None:
    assert await tls_broker.up()
    old = tls_broker.context(tls_broker.ven("ven-good"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    assert "PROTOCOL_VERSION" in await asyncio.to_thread(connect, tls_broker, old)
    # The same client can connect to a server that offers TLS 1.0.
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = tls_broker.folder / "certs" / "mosquitto"
    server.load_cert_chain(own / "server.pem", own / "server.key")
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.minimum_version = ssl.TLSVersion.TLSv1
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor(1) as threads, ours, theirs:
        accepted = threads.submit(server.wrap_socket, theirs, server_side=True)
        with old.wrap_socket(ours, server_hostname="localhost") as connection:
            assert connection.version() == "TLSv1"
            accepted.result(10).close()
