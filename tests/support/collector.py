"""An OpenTelemetry collector for tests: it receives spans by OTLP over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from gateway.stack.polling import wait_until

WAIT = 60


class Span(NamedTuple):
    """One received span; ids are hexadecimal, `parent` empty at the root."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    failed: str


class Collector:
    """Keeps the spans that it receives."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.endpoint = ""

    def named(self, name: str, **attributes: Any) -> list[Span]:
        """Return the spans of a name with these attributes, written with _ for dots."""
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}
        return [span for span in self.spans if span.name == name and wanted.items() <= span.attributes.items()]

    async def first(self, name: str, **attributes: Any) -> Span:
        """Wait for a span of a name with these attributes, and return the first that came."""
        assert await wait_until(lambda: bool(self.named(name, **attributes)), WAIT), f"no span {name} {attributes}"
        return self.named(name, **attributes)[0]

    async def next_of(self, span: Span, name: str) -> Span:
        """Wait for a span of a name in the trace of another one."""

        def found() -> list[Span]:
            return [other for other in self.trace_of(span).values() if other.name == name]

        assert await wait_until(lambda: bool(found()), WAIT), f"no span {name} in the trace of {span.name}"
        return found()[0]

    def trace_of(self, span: Span) -> dict[str, Span]:
        """Return all spans of a span's trace by their ids."""
        return {other.span: other for other in self.spans if other.trace == span.trace}

    async def path_to(self, span: Span) -> list[str]:
        """Return the names from the root of a span's trace to itself; processes export in any order."""
        path = [span.name]
        while span.parent:
            parent = span.parent
            assert await wait_until(lambda: parent in self.trace_of(span), WAIT), f"no parent of {path}"  # noqa: B023
            span = self.trace_of(span)[parent]
            path.insert(0, span.name)
        return path

    async def take(self, request: web.Request) -> web.Response:
        """Answer an export."""
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            service = {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"]
            self.spans += [_decoded(service, span) for scope in resource.scope_spans for span in scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")


def _decoded(service: str, span: Any) -> Span:
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes},
        span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else "",
    )


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """Run a collector."""
    opened = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", opened.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    opened.endpoint = f"http://{host}:{port}"
    yield opened
    await runner.cleanup()
