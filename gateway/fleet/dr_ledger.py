"""The ledger of demand response: the commands each home received, and the acks and samples it sent."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ReceivedCommand(NamedTuple):
    """A message on a home's command topic; the time is in Unix milliseconds.

    `payload` is None for a message that is no command. `redelivered` is MQTT's DUP flag: the broker may have delivered
    the message before, because QoS 1 is at least once.
    """

    time_ms: int
    op: str | None
    correlation_id: str | None
    event_id: str | None
    payload: dict[str, Any] | None
    redelivered: bool = False


class SentAck(NamedTuple):
    """An acknowledgement that a home sent; the time is in Unix milliseconds."""

    time_ms: int
    payload: dict[str, Any]


class ReportedSample(NamedTuple):
    """The DR fields of a metering sample: its time (Unix milliseconds), event id and shed in kW."""

    time_ms: int
    event_id: str | None
    shed_kw: float


@dataclass(slots=True, eq=False)
class _Samples:
    """The samples of one VEN, 19 bytes each; `events` holds indices into the ledger's event ids, 0 is no event."""

    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    events: "array[int]" = field(default_factory=lambda: array("H"))
    shed_kw: "array[float]" = field(default_factory=lambda: array("d"))
    accepted: bytearray = field(default_factory=bytearray)


class DrLedgerEntry(NamedTuple):
    """The position of a published sample in the ledger; call `accept` when the broker acknowledges it."""

    samples: _Samples
    at: int

    def accept(self) -> None:
        self.samples.accepted[self.at] = 1


class DrLedger:
    """What happened at each VEN: `commands` in the order of receipt, `acks` in the order of sending.

    `power_cuts` are the times (Unix milliseconds) at which a VEN lost all its state.
    """

    def __init__(self) -> None:
        self.commands: dict[str, list[ReceivedCommand]] = {}
        self.acks: dict[str, list[SentAck]] = {}
        self.power_cuts: dict[str, list[int]] = {}
        self._samples: dict[str, _Samples] = {}
        self._event_ids: list[str | None] = [None]
        self._indices: dict[str | None, int] = {None: 0}

    def add_command(self, ven_id: str, command: ReceivedCommand) -> None:
        self.commands.setdefault(ven_id, []).append(command)

    def add_ack(self, ven_id: str, ack: SentAck) -> None:
        self.acks.setdefault(ven_id, []).append(ack)

    def add_power_cut(self, ven_id: str, time_ms: int) -> None:
        self.power_cuts.setdefault(ven_id, []).append(time_ms)

    def add_sample(self, ven_id: str, sample: ReportedSample) -> DrLedgerEntry:
        """Record a sample that is being published."""
        samples = self._samples.get(ven_id)
        if samples is None:
            samples = self._samples[ven_id] = _Samples()
        index = self._indices.get(sample.event_id)
        if index is None:
            index = self._indices[sample.event_id] = len(self._event_ids)
            self._event_ids.append(sample.event_id)
        samples.times_ms.append(sample.time_ms)
        samples.events.append(index)
        samples.shed_kw.append(sample.shed_kw)
        samples.accepted.append(0)
        return DrLedgerEntry(samples, len(samples.times_ms) - 1)

    def ven_ids(self) -> list[str]:
        """Return the ids of the VENs that published samples."""
        return list(self._samples)

    def samples(self, ven_id: str, *, accepted_only: bool = True) -> Iterator[ReportedSample]:
        """Iterate over the samples of a VEN, in the order of publishing."""
        samples = self._samples.get(ven_id, _Samples())
        for at, time_ms in enumerate(samples.times_ms):
            if samples.accepted[at] or not accepted_only:
                yield ReportedSample(time_ms, self._event_ids[samples.events[at]], samples.shed_kw[at])

    def command_counts(self, event_id: str, op: str) -> dict[str, int]:
        """Return how many commands with this op each VEN received for an event, without redelivered ones."""
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
