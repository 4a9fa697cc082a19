"""The live summary of `gateway demo` in the terminal."""

import time
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table

from gateway.demo.metrics import SystemSnapshot

PRINT_EVERY_SECONDS = 10.0


class Summary:
    """Renders the latest snapshot; rates are between the last two snapshots."""

    def __init__(self, vens: int) -> None:
        self._vens = vens
        self._snapshot: SystemSnapshot | None = None
        self._published = self._accepted = 0
        self._event = self._shed = ""
        self._rate = 0.0
        self._updated_at = time.monotonic()

    def update(self, snapshot: SystemSnapshot, published: int, accepted: int, event: str, shed: str) -> None:
        """Set a new snapshot, the fleet's counts, and the texts about the DR event and its reduction."""
        now = time.monotonic()
        before = self._snapshot
        if before is not None and before.received is not None and snapshot.received is not None:
            self._rate = (snapshot.received - before.received) / max(now - self._updated_at, 0.001)
        self._snapshot, self._updated_at = snapshot, now
        self._published, self._accepted = published, accepted
        self._event, self._shed = event, shed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        snapshot = self._snapshot
        if snapshot is None:
            yield "Waiting for the first metrics …"
            return
        network = snapshot.network or {}
        table = Table.grid(padding=(0, 2))
        for label, value in (
            (
                "fleet",
                f"{self._vens} VENs, {self._published} samples published, {self._accepted} accepted by the broker",
            ),
            (
                "Kafka",
                (
                    f"{self._rate:.0f} messages/s, {_number(snapshot.lag)} waiting, "
                    f"{_number(snapshot.dead_lettered)} dead letters"
                ),
            ),
            ("rows", f"{_number(snapshot.readings)} readings, {_number(snapshot.loads)} loads"),
            ("online", f"{network.get('onlineVens', '-')} of {network.get('venCount', '-')} VENs"),
            (
                "power",
                (
                    f"{_kw(network.get('householdUsageKw'))} used, "
                    f"{_kw(network.get('potentialLoadReductionKw'))} can be shed"
                ),
            ),
            ("event", self._event),
            ("shed", self._shed),
        ):
            table.add_row(f"[bold]{label}[/bold]", value)
        yield table


class SummaryDisplay:
    """Shows a summary: updated in place on a terminal, else printed every few seconds."""

    def __init__(self, summary: Summary, console: Console) -> None:
        self._summary = summary
        self._console = console
        self._live = Live(summary, console=console, auto_refresh=False) if console.is_terminal else None
        self._printed_at = -PRINT_EVERY_SECONDS

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Show the summary as it is now."""
        if self._live is not None:
            self._live.refresh()
        elif time.monotonic() - self._printed_at >= PRINT_EVERY_SECONDS:
            self._console.print(self._summary)
            self._printed_at = time.monotonic()


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} kW"
