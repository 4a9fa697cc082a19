"""The endless answer of one client.

Starlette's and sse-starlette's would do, but for two things: they encode each item for each client, and they cannot
close the connection of a client that does not read.
"""

import asyncio
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth.principal import Principal
from api.http.protocol import TRANSPORT, limit_send_buffer
from api.sse.broadcaster import Broadcaster
from api.sse.messages import FeedFilter

KERNEL_BYTES = 262_144


class FeedResponse(Response):
    """Writes what the hub has for a client until the client goes, is cut off, or the server stops."""

    media_type = "text/event-stream"

    def __init__(self, broadcaster: Broadcaster, wanted: FeedFilter, last_seen: str | None, who: Principal) -> None:
        # A proxy that waits for the end of an answer would wait for ever.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._broadcaster = broadcaster
        self._wanted = wanted
        self._last_seen = last_seen
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client."""
        transport = scope.get("state", {}).get(TRANSPORT)
        if transport is not None and not transport.is_closing():  # it may have gone while it waited to begin
            limit_send_buffer(transport, KERNEL_BYTES)
        abort = _nothing if transport is None else transport.abort
        client = self._broadcaster.join(self._wanted, self._last_seen, abort, self._who)
        waiting = asyncio.create_task(_until_gone(receive))
        waiting.add_done_callback(lambda _: client.close())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while taken := await client.take():
                await send({"type": "http.response.body", "body": taken, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            waiting.cancel()
            self._broadcaster.leave(client)


async def _until_gone(receive: Receive) -> None:
    # A body that nobody asked for, too large or too slow, is as good a reason to go.
    with suppress(HTTPException):
        while (await receive())["type"] != "http.disconnect":
            pass


def _nothing() -> None:
    """Under another server, a client that does not read is forgotten, and its connection left to that server."""
