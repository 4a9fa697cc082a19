"""The ledger: what a fleet published, and what of it the broker accepted (PUBACK), to hold against what was stored."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec


class Sample(NamedTuple):
    """One published sample: used power in kW, and how many loads (circuits) it listed."""

    used_kw: float
    loads: int


@dataclass(slots=True, eq=False)
class Column:
    """The samples of one VEN, 19 bytes each: a ledger of millions fits in memory."""

    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    used_kw: "array[float]" = field(default_factory=lambda: array("d"))
    loads: "array[int]" = field(default_factory=lambda: array("H"))
    accepted: bytearray = field(default_factory=bytearray)

    def samples(self, *, accepted_only: bool) -> Iterator[tuple[int, Sample]]:
        for at, time_ms in enumerate(self.times_ms):
            if self.accepted[at] or not accepted_only:
                yield time_ms, Sample(self.used_kw[at], self.loads[at])


class LedgerEntry(NamedTuple):
    """Where a published sample stands in the ledger, until the broker accepts it."""

    column: Column
    at: int


class _Line(msgspec.Struct):
    """One VEN in the file; `accepted` holds a 1 or a 0 per sample."""

    ven: str
    times_ms: list[int]
    used_kw: list[float]
    loads: list[int]
    accepted: str


class PublishLedger:
    """Per VEN: the times (integer Unix milliseconds) of its samples, each published and perhaps accepted.

    A sample without a PUBACK may have reached the broker all the same: what is stored must hold every
    accepted sample (`accepted_samples`) and nothing that was never published (`published_samples`).
    """

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._accepted = 0
        self._published = 0

    def __len__(self) -> int:
        """How many samples the broker accepted."""
        return self._accepted

    @property
    def published(self) -> int:
        """How many samples were handed to the connection."""
        return self._published

    def add(self, ven_id: str, time_ms: int, sample: Sample) -> LedgerEntry:
        """Record a sample that is being published; give the ticket to `accept` when its PUBACK arrives."""
        column = self._columns.get(ven_id)
        if column is None:
            column = self._columns[ven_id] = Column()
        column.times_ms.append(time_ms)
        column.used_kw.append(sample.used_kw)
        column.loads.append(sample.loads)
        column.accepted.append(0)
        self._published += 1
        return LedgerEntry(column, len(column.times_ms) - 1)

    def accept(self, ticket: LedgerEntry) -> None:
        """Record that the broker accepted a sample."""
        if not ticket.column.accepted[ticket.at]:
            ticket.column.accepted[ticket.at] = 1
            self._accepted += 1

    def accepted_samples(self) -> dict[str, dict[int, Sample]]:
        """VEN id -> time (ms) -> sample, accepted samples only."""
        return self._as_dicts(accepted_only=True)

    def published_samples(self) -> dict[str, dict[int, Sample]]:
        """VEN id -> time (ms) -> sample, everything that was published."""
        return self._as_dicts(accepted_only=False)

    def write(self, path: Path) -> None:
        """Write the ledger as JSON lines, one VEN a line, so that another process can compare it."""
        encoder = msgspec.json.Encoder()
        with path.open("wb") as file:
            for ven_id, column in self._columns.items():
                flags = "".join(map(str, column.accepted))
                file.write(
                    encoder.encode(
                        _Line(ven_id, column.times_ms.tolist(), column.used_kw.tolist(), column.loads.tolist(), flags)
                    )
                )
                file.write(b"\n")

    @classmethod
    def read(cls, path: Path) -> "PublishLedger":
        """Read a ledger that `write` wrote."""
        ledger = cls()
        decoder = msgspec.json.Decoder(_Line)
        with path.open("rb") as file:
            for raw in file:
                line = decoder.decode(raw)
                rows = zip(line.times_ms, line.used_kw, line.loads, line.accepted, strict=True)
                for time_ms, used_kw, loads, flag in rows:
                    ticket = ledger.add(line.ven, time_ms, Sample(used_kw, loads))
                    if flag == "1":
                        ledger.accept(ticket)
        return ledger

    def _as_dicts(self, *, accepted_only: bool) -> dict[str, dict[int, Sample]]:
        per_ven = {ven: dict(column.samples(accepted_only=accepted_only)) for ven, column in self._columns.items()}
        return {ven: samples for ven, samples in per_ven.items() if samples}
