"""A schema registry of a test's own: a real HTTP server with the calls of Confluent's interface that we use.

It is no product: it knows the same schema again, tells versions, and refuses what a test says.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema_rs
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.stack.polling import wait_until

_MEDIA = "application/vnd.schemaregistry.v1+json"


class Registry:
    def __init__(self) -> None:
        self.url = ""
        self.versions: dict[str, list[str]] = {}
        self.refuses: tuple[int, str] | None = None
        self.logins: set[str | None] = set()
        self._ids: dict[str, int] = {}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/subjects/{subject}/versions")
        async def register(subject: str, request: Request) -> JSONResponse:
            self.logins.add(request.headers.get("authorization"))
            if self.refuses is not None:
                status, message = self.refuses
                return JSONResponse({"error_code": status, "message": message}, status, media_type=_MEDIA)
            if request.headers["content-type"] != _MEDIA:
                return JSONResponse({"error_code": 415, "message": "HTTP 415 Unsupported Media Type"}, 415)
            asked: dict[str, Any] = await request.json()
            try:
                assert asked["schemaType"] == "JSON"
                jsonschema_rs.meta.validate(json.loads(asked["schema"]))
            except (AssertionError, KeyError, ValueError) as error:
                return JSONResponse({"error_code": 42201, "message": f"Invalid schema {error}"}, 422, media_type=_MEDIA)
            text = asked["schema"]
            versions = self.versions.setdefault(subject, [])
            if text not in versions:
                versions.append(text)
            return JSONResponse({"id": self._ids.setdefault(text, len(self._ids) + 1)}, media_type=_MEDIA)

        return app


@asynccontextmanager
async def schema_registry() -> AsyncIterator[Registry]:
    registry = Registry()
    server = uvicorn.Server(uvicorn.Config(registry.app(), port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    assert await wait_until(started, 60, every=0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    registry.url = f"http://127.0.0.1:{port}"
    try:
        yield registry
    finally:
        server.should_exit = True
        await serving
