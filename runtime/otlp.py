"""The OpenTelemetry SDK with an OTLP exporter (over HTTP); imported only while tracing is on."""

from importlib.metadata import version
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanContext

_REQUEST_SECONDS = 5
_CLOSE_SECONDS = 1


class SpanIds(RandomIdGenerator):
    """Random ids, unless the next span has a given context."""

    def __init__(self) -> None:
        self.given: SpanContext | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.given is None else self.given.trace_id

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.given is None else self.given.span_id

    def is_trace_id_random(self) -> bool:
        return False  # those of events and commands are hashes


class SpanPipeline:
    """Creates spans and exports them in batches, in a thread; spans are dropped while the collector is unreachable."""

    def __init__(self, process: str, exporter: SpanExporter) -> None:
        resource = Resource.create({SERVICE_NAME: f"gateway-{process}", SERVICE_VERSION: version("grid-event-gateway")})
        self.ids = SpanIds()
        self._exporter = exporter
        # Only what is sampled becomes a span, so the SDK's sampler keeps all of them.
        self._provider = TracerProvider(ALWAYS_ON, resource, id_generator=self.ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("gateway")

    def close(self) -> None:
        """Export the remaining spans, within two seconds."""
        # The SDK waits half a minute for an unreachable collector; the process must not.
        closing = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            # Ends the retries, and so the SDK's thread.
            self._exporter.shutdown()
            closing.join(_CLOSE_SECONDS)


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Return the exporter to a collector; `endpoint` is its address without the path."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_REQUEST_SECONDS)
