"""The ledger of demand response: what each home was told, answered and reported, to hold against what was stored."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ReceivedCommand(NamedTuple):
    """A command as a home received it; the time is Unix milliseconds.

    `payload` is None where it was no command. `redelivered` says that the MQTT broker marks it as one that it may have
    delivered before: QoS 1 is at least once, also between the broker and a home.
    """

    time_ms: int
    op: str | None
    correlation_id: str | None
    event_id: str | None
    payload: dict[str, Any] | None
    redelivered: bool = False


class SentAck(NamedTuple):
    """An acknowledgement that a home sent; the time is Unix milliseconds."""

    time_ms: int
    payload: dict[str, Any]


class ReportedSample(NamedTuple):
    """What a metering sample said: its time (Unix milliseconds), the event it named, and the shed in kW."""

    time_ms: int
    event_id: str | None
    shed_kw: float


@dataclass(slots=True, eq=False)
class _Column:
    """The samples of one VEN, 19 bytes each; `events` holds places in the ledger's list of ids, 0 is no event."""

    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    events: "array[int]" = field(default_factory=lambda: array("H"))
    shed_kw: "array[float]" = field(default_factory=lambda: array("d"))
    accepted: bytearray = field(default_factory=bytearray)


class DrLedgerEntry(NamedTuple):
    """Where a published sample stands in the ledger, until the broker accepts it."""

    column: _Column
    at: int

    def accept(self) -> None:
        self.column.accepted[self.at] = 1


class DrLedger:
    """Per VEN: `commands` in the order in which they were received, `answers` in that in which they were sent.

    `power_cuts` are the times (Unix milliseconds) at which a VEN forgot all that it had been told.
    """

    def __init__(self) -> None:
        self.commands: dict[str, list[ReceivedCommand]] = {}
        self.answers: dict[str, list[SentAck]] = {}
        self.power_cuts: dict[str, list[int]] = {}
        self._columns: dict[str, _Column] = {}
        self._event_ids: list[str | None] = [None]
        self._places: dict[str | None, int] = {None: 0}

    def received(self, ven_id: str, command: ReceivedCommand) -> None:
        self.commands.setdefault(ven_id, []).append(command)

    def answered(self, ven_id: str, answer: SentAck) -> None:
        self.answers.setdefault(ven_id, []).append(answer)

    def cut(self, ven_id: str, time_ms: int) -> None:
        self.power_cuts.setdefault(ven_id, []).append(time_ms)

    def reported(self, ven_id: str, sample: ReportedSample) -> DrLedgerEntry:
        """Record a sample that is being published; its ticket takes the PUBACK."""
        column = self._columns.get(ven_id)
        if column is None:
            column = self._columns[ven_id] = _Column()
        place = self._places.get(sample.event_id)
        if place is None:
            place = self._places[sample.event_id] = len(self._event_ids)
            self._event_ids.append(sample.event_id)
        column.times_ms.append(sample.time_ms)
        column.events.append(place)
        column.shed_kw.append(sample.shed_kw)
        column.accepted.append(0)
        return DrLedgerEntry(column, len(column.times_ms) - 1)

    def vens(self) -> list[str]:
        """Return the ids of the VENs that published samples."""
        return list(self._columns)

    def samples(self, ven_id: str, *, accepted_only: bool = True) -> Iterator[ReportedSample]:
        """Iterate over the samples of a VEN, in order of publishing."""
        column = self._columns.get(ven_id, _Column())
        for at, time_ms in enumerate(column.times_ms):
            if column.accepted[at] or not accepted_only:
                yield ReportedSample(time_ms, self._event_ids[column.events[at]], column.shed_kw[at])

    def told(self, event_id: str, op: str) -> dict[str, int]:
        """Return how many commands with this op each VEN received for an event, redelivered ones left out."""
        return {
            ven_id: number
            for ven_id, commands in self.commands.items()
            if (
                number := sum(
                    command.op == op and command.event_id == event_id and not command.redelivered
                    for command in commands
                )
            )
        }
