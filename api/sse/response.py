"""The endless response to a client of the live feed.

It replaces those of Starlette and sse-starlette, which encode each message for each client and cannot close the
connection of a client that does not read.
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

SEND_BUFFER_BYTES = 262_144


class FeedResponse(Response):
    """Sends messages until the client leaves or is disconnected, or the server stops."""

    media_type = "text/event-stream"

    def __init__(
        self, broadcaster: Broadcaster, filters: FeedFilter, last_id: str | None, principal: Principal
    ) -> None:
        # Without this header a proxy may buffer the response until it ends.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._broadcaster = broadcaster
        self._filters = filters
        self._last_id = last_id
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client."""
        transport = scope.get("state", {}).get(TRANSPORT)
        if transport is not None and not transport.is_closing():  # the client may have left while it waited
            limit_send_buffer(transport, SEND_BUFFER_BYTES)
        abort = _do_nothing if transport is None else transport.abort
        client = self._broadcaster.subscribe(self._filters, self._last_id, abort, self._principal)
        disconnected = asyncio.create_task(_wait_for_disconnect(receive))
        disconnected.add_done_callback(lambda _: client.close())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while chunk := await client.next_chunk():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            disconnected.cancel()
            self._broadcaster.unsubscribe(client)


async def _wait_for_disconnect(receive: Receive) -> None:
    # A request body that is too large or too slow ends the response too.
    with suppress(HTTPException):
        while (await receive())["type"] != "http.disconnect":
            pass


def _do_nothing() -> None:
    """Stands in for `abort` on other servers than ours, which close the connections themselves."""
