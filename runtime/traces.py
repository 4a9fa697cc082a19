"""What a process tells of sampled messages and commands: one span for each step, to an OpenTelemetry collector.

Off by default, and then no message pays for it. Only what was sampled has a span and a traceparent header; the choice
is made once, by the bridge for messages and by the correlation id for commands, and all others follow the header.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from schemas.base.errors import GatewayError
from schemas.records.tracing import Place, is_chosen
from schemas.settings.blocks import TraceSettings

Kind = Literal["server", "internal", "producer", "consumer", "client"]
"""What a span is to the process before or after it, in OpenTelemetry's words."""

Attributes = Mapping[str, str | int | float | bool]


class Exporter(Protocol):
    """Takes spans that have ended."""

    def export(self, span: "Span", ended_ns: int, failed: str | None) -> None:
        """Take one; `failed` says what went wrong."""

    def close(self) -> None:
        """Send what is left, within seconds."""


@dataclass(slots=True)
class Span:
    """One step of something sampled; it is told when it has ended, and one that never ends is told by nobody."""

    exporter: Exporter
    name: str
    kind: Kind
    place: Place
    parent: Place | None
    started_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)

    def end(self, failed: str | None = None) -> None:
        """Note that the step is over, and what went wrong with it."""
        self.exporter.export(self, time.time_ns(), failed)


class Traces:
    """The traces of this process."""

    def __init__(self) -> None:
        self._exporter: Exporter | None = None
        self._messages = 0.0
        self._commands = 0.0

    @property
    def on(self) -> bool:
        """Whether this process tells anything."""
        return self._exporter is not None

    def choose_message(self) -> bool:
        """Whether the message at hand is to be traced; each has the same chance."""
        return self._messages > 0 and random.random() < self._messages  # noqa: S311 - no secret

    def choose_command(self, correlation_id: str) -> bool:
        """Whether a command is traced: the same ones in every process."""
        return is_chosen(correlation_id, self._commands)

    @property
    def events(self) -> bool:
        """Whether DR events are traced: all of them, where any of their commands may be."""
        return self._commands > 0

    def begin(
        self,
        name: str,
        kind: Kind,
        *,
        parent: Place | None = None,
        place: Place | None = None,
        started: float | None = None,
        attributes: Attributes | None = None,
    ) -> Span | None:
        """Begin a step, None where this process tells nothing.

        It is somewhere new unless `place` says where; without a parent a trace begins. `started` is in seconds since
        1970, for a step that began earlier.
        """
        if self._exporter is None:
            return None
        if place is None:
            place = Place(parent.trace_id if parent else _some(128), _some(64))
        started_ns = time.time_ns() if started is None else int(started * 1e9)
        return Span(self._exporter, name, kind, place, parent, started_ns, dict(attributes or {}))

    @contextmanager
    def exporting(self, settings: TraceSettings, process: str, exporter: Exporter | None = None) -> Iterator[None]:
        """Tell what is sampled while the context lasts, if the settings ask for any; `process` is who tells.

        Raises:
            GatewayError: OpenTelemetry is not installed.
        """
        if not settings.trace_messages and not settings.trace_commands:
            yield
            return
        self._exporter = exporter or _otlp(settings, process)
        self._messages, self._commands = settings.trace_messages, settings.trace_commands
        try:
            yield
        finally:
            self._exporter.close()
            self._exporter, self._messages, self._commands = None, 0.0, 0.0


TRACES = Traces()


def _otlp(settings: TraceSettings, process: str) -> Exporter:
    try:
        from runtime.otlp import OtlpExporter  # noqa: PLC0415 - an extra; nobody else imports it
    except ImportError as error:
        raise GatewayError(
            f"TRACE_MESSAGES and TRACE_COMMANDS need OpenTelemetry ({error.name} is missing): install "
            "grid-event-gateway[tracing], or leave both at 0"
        ) from None
    return OtlpExporter(settings.otel_exporter_otlp_endpoint, process)


def _some(bits: int) -> int:
    """Return a number of so many bits at random, never 0: that is no id."""
    return random.getrandbits(bits) or 1
