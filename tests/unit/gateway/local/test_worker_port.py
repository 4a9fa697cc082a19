"""A process of ours is up when it answers itself, not when another program answers at its port."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.local.worker import Worker
from gateway.stack import StackError
from gateway.stack.child_guard import Guard


class _Fine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_request(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of somebody who says of himself that all is well."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Fine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_another_process_at_the_port_is_not_the_worker(tmp_path: Path, stranger: str) -> None:
    guard = Guard()
    # It ends as one does that cannot listen.
    worker = Worker("api", ("no-such-command",), env={}, log=tmp_path / "api.log", guard=guard, health=stranger)
    try:
        with pytest.raises(StackError, match="api ended with code 2 while starting"):
            await worker.start()
        assert not await worker.ready()
    finally:
        await worker.stop()
        await guard.close()
