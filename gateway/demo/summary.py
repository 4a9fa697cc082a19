"""The live summary of `gateway demo` in the terminal."""

import time
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table

from gateway.demo.metrics import SystemSnapshot

PRINT_EVERY_SECONDS = 10.0


class Summary:
    """Draws the latest figures; rates are between the last two looks."""

    def __init__(self, vens: int) -> None:
        self._vens = vens
        self._figures: SystemSnapshot | None = None
        self._published = self._accepted = 0
        self._event = self._shed = ""
        self._rate = 0.0
        self._seen_at = time.monotonic()

    def update(self, figures: SystemSnapshot, published: int, accepted: int, event: str, shed: str) -> None:
        """Take the figures of a new look, and what there is to say of the DR event and of what is shed for it."""
        now = time.monotonic()
        before = self._figures
        if before is not None and before.received is not None and figures.received is not None:
            self._rate = (figures.received - before.received) / max(now - self._seen_at, 0.001)
        self._figures, self._seen_at = figures, now
        self._published, self._accepted = published, accepted
        self._event, self._shed = event, shed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        figures = self._figures
        if figures is None:
            yield "waiting for the first figures …"
            return
        network = figures.network or {}
        table = Table.grid(padding=(0, 2))
        for label, value in (
            (
                "fleet",
                f"{self._vens} VENs, {self._published} samples published, {self._accepted} accepted by the broker",
            ),
            (
                "log",
                (
                    f"{self._rate:.0f} messages/s, {_number(figures.lag)} waiting, "
                    f"{_number(figures.dead_lettered)} dead letters"
                ),
            ),
            ("rows", f"{_number(figures.readings)} readings, {_number(figures.loads)} loads"),
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
    """Keeps a summary in sight: in place on a terminal, and every few seconds anew where there is none."""

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
        """Show the figures as they are now."""
        if self._live is not None:
            self._live.refresh()
        elif time.monotonic() - self._printed_at >= PRINT_EVERY_SECONDS:
            self._console.print(self._summary)
            self._printed_at = time.monotonic()


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} kW"
