"""What somebody asks for through the API is where its trace begins."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.traces import TRACES, Span
from schemas.dr.commands import Command
from schemas.records.tracing import asked_place, command_asked_place


class RequestTrace:
    """What one request has asked for."""

    def __init__(self) -> None:
        self._began = time.time()
        self._spans: list[Span | None] = []

    def event(self, event_id: str) -> None:
        """Note a DR event."""
        if TRACES.events:
            place, about = asked_place(event_id), {"gateway.event.id": event_id}
            self._spans.append(
                TRACES.begin("api create event", "server", place=place, started=self._began, attributes=about)
            )

    def command(self, command: Command) -> None:
        """Note a command of an operator's."""
        if TRACES.choose_command(command.correlation_id):
            place = command_asked_place(command.correlation_id, command.event_id)
            about = {
                "gateway.correlation.id": command.correlation_id,
                "gateway.ven.id": command.ven_id,
                "gateway.op": command.op,
            }
            self._spans.append(
                TRACES.begin("api send command", "server", place=place, started=self._began, attributes=about)
            )

    def end(self) -> None:
        """Tell it."""
        for span in self._spans:
            if span is not None:
                span.end()


@contextmanager
def trace_request() -> Iterator[RequestTrace]:
    """Tell what was asked for inside when the block has ended well: after the commit, so it holds."""
    trace = RequestTrace()
    yield trace
    trace.end()
