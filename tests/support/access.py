"""Keys of each role, and an OIDC issuer of the test's own that really answers over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from gateway.keys.operations import create_key
from runtime.database import connect_options
from schemas.base.access_role import AccessRole
from schemas.settings.blocks import DatabaseSettings

AUDIENCE = "grid-event-gateway"


def bearer(text: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {text}"}


async def keys_of_all_roles(database: DatabaseSettings) -> dict[AccessRole, str]:
    """Make a key of each role, as `gateway keys create` does."""
    async with asyncpg.create_pool(**connect_options(database, "test"), min_size=0, max_size=1) as pool:
        return {role: (await create_key(pool, f"the {role}", role, None)).text for role in AccessRole}


class Issuer:
    """Signs tokens, and publishes the public keys by which they are checked; `asked` counts how often."""

    def __init__(self) -> None:
        self.address = ""
        self.keys: dict[str, RSAPrivateKey] = {}
        self.published: list[dict[str, Any]] = []
        self.asked = 0
        self.calls_itself: str | None = None
        self.away = False
        self.drips: float | None = None
        """Seconds from one byte of an answer to the next; None answers as one would."""

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on, and publish that alone."""
        self.keys[key_id] = generate_private_key(public_exponent=65537, key_size=2048)
        public = self.keys[key_id].public_key()
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public))
        self.published = [{**jwk, "kid": key_id, "use": "sig"}]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims that hold for a minute; None takes one away."""
        now = int(time.time())
        usual = {
            "iss": self.address,
            "aud": AUDIENCE,
            "sub": "someone",
            "iat": now,
            "exp": now + 60,
            "roles": ["viewer"],
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, key_id: str = "first", **changes: Any) -> str:
        """Sign a token."""
        return jwt.encode(self.claims(**changes), self.keys[key_id], "RS256", headers={"kid": key_id})

    def answer(self, path: str) -> dict[str, Any] | None:
        """What it publishes."""
        if self.away:
            self.asked += 1
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.calls_itself or self.address, "jwks_uri": f"{self.address}/keys"}
        if path == "/keys":
            self.asked += 1
            return {"keys": self.published}
        return None


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Have one inside, on a port of its own."""
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = made.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if made.drips is None:
                self.wfile.write(body)
                return
            with suppress(OSError):  # who asked has gone
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(made.drips)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    made.rotate("first")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
